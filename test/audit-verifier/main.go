// Command audit-verifier checks the audit's checkpoints and proofs with Go's own libraries for notes and transparency
// logs, which share nothing with the code that made them. It reads claims as JSON from the standard input, and writes
// for each of them whether it holds.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A claim is about one checkpoint alone, about a leaf in it, or about an earlier checkpoint of the same log.
type claim struct {
	Name       string   `json:"name"`
	Checkpoint string   `json:"checkpoint"`
	Earlier    string   `json:"earlier"`
	Index      *int64   `json:"index"`
	Leaf       string   `json:"leaf"`
	Proof      []string `json:"proof"`
}

type question struct {
	VerifierKey string  `json:"verifierKey"`
	Claims      []claim `json:"claims"`
}

type answer struct {
	Name  string `json:"name"`
	Holds bool   `json:"holds"`
	Why   string `json:"why"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	verifier, err := note.NewVerifier(asked.VerifierKey)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := []answer{}
	for _, one := range asked.Claims {
		err := check(one, verifier)
		why := ""
		if err != nil {
			why = err.Error()
		}
		answers = append(answers, answer{one.Name, err == nil, why})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		os.Exit(1)
	}
}

func check(one claim, verifier note.Verifier) error {
	size, root, err := open(one.Checkpoint, verifier)
	if err != nil {
		return err
	}
	hashes := make([]tlog.Hash, len(one.Proof))
	for i, text := range one.Proof {
		if hashes[i], err = tlog.ParseHash(text); err != nil {
			return err
		}
	}
	if one.Index != nil {
		leaf, err := base64.StdEncoding.DecodeString(one.Leaf)
		if err != nil {
			return err
		}
		return tlog.CheckRecord(tlog.RecordProof(hashes), size, root, *one.Index, tlog.RecordHash(leaf))
	}
	if one.Earlier != "" {
		earlierSize, earlierRoot, err := open(one.Earlier, verifier)
		if err != nil {
			return err
		}
		return tlog.CheckTree(tlog.TreeProof(hashes), size, root, earlierSize, earlierRoot)
	}
	return nil
}

// open verifies the signature, and reads the origin, the size and the root: a line each.
func open(message string, verifier note.Verifier) (int64, tlog.Hash, error) {
	opened, err := note.Open([]byte(message), note.VerifierList(verifier))
	if err != nil {
		return 0, tlog.Hash{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		return 0, tlog.Hash{}, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0, tlog.Hash{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return size, root, err
}
