"""
Gives the requests that schemathesis makes up what it cannot know: the token of somebody who may make the call, ids and
words that exist, a picture with a face, the version that a search is at. Not always: other roles, unknown ids and
pictures of nothing must be answered too. The choice depends on the request alone, so that the same seed chooses alike.
"""

import json
import os
import random
import zlib
from pathlib import Path

import schemathesis
from schemathesis.transport.serialization import Binary

WORLD = Path(os.environ["API_TEST_WORLD"])
CALLS = open(os.environ["API_TEST_CALLS"], "a", encoding="utf-8", buffering=1)
versions = {}
world = {}
world_read_at = 0.0


def current_world():
    """It is written anew while this runs: tokens are good for a quarter of an hour."""
    global world, world_read_at
    written_at = WORLD.stat().st_mtime
    if written_at != world_read_at:
        world, world_read_at = json.loads(WORLD.read_text(encoding="utf-8")), written_at
        world["picture"] = Path(world["image"]).read_bytes()
    return world


def sent_without_token(case):
    data = case.meta.phase.data if case.meta is not None else None
    return getattr(data, "parameter", None) == "Authorization"


def is_made_to_fit(case):
    return case.meta is not None and case.meta.generation.mode.value == "positive"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    roles = [role for one in case.operation.definition.raw["security"] for role in one["bearer"]]
    if not roles:
        return
    known = current_world()
    headers = sorted(case.headers.items())
    request = (case.method, case.path, case.path_parameters, case.query, headers, case.body)
    chance = random.Random(zlib.crc32(repr(request).encode("utf-8", "replace")))
    if not sent_without_token(case) and chance.random() < 0.97:
        role = chance.choice(roles if chance.random() < 0.95 else list(known["tokens"]))
        case.headers["Authorization"] = f"Bearer {chance.choice(known['tokens'][role])}"
    # One that is made up is refused before anything else is looked at.
    if chance.random() < 0.9:
        case.headers.pop("Consistency-Token", None)
    if not is_made_to_fit(case):
        return
    for name in case.path_parameters:
        if name in known["ids"] and chance.random() < 0.7:
            case.path_parameters[name] = chance.choice(known["ids"][name])
    for name in case.query:
        if name in known["words"] and chance.random() < 0.7:
            case.query[name] = str(chance.choice(known["words"][name]))
    if isinstance(case.body, dict):
        case.body = {name: known_value(case, known, chance, name, value) for name, value in case.body.items()}
    # It fits as before; schemathesis takes a body that was given a picture for one that does not.
    case._record_starting_state()


def known_value(case, known, chance, name, value):
    if name == "image" and chance.random() < 0.8:
        return Binary(known["picture"])
    if name == "expectedVersion" and chance.random() < 0.9:
        return versions.get(case.path_parameters.get("searchId"), value)
    if name in known["words"] and chance.random() < 0.7:
        return chance.choice(known["words"][name])
    return value


@schemathesis.hook
def after_call(ctx, case, response):
    answer = None
    try:
        answer = json.loads(response.content)
    except ValueError:
        pass
    answer = answer if isinstance(answer, dict) else {}
    # Of a search that was answered, or of one that somebody else has moved on.
    version = answer.get("version") or (answer.get("details") or {}).get("version")
    if isinstance(version, int) and "searchId" in (case.path_parameters or {}):
        versions[case.path_parameters["searchId"]] = version
    operation = f"{case.operation.method.upper()} {case.operation.path}"
    line = {"operation": operation, "method": case.method, "status": response.status_code, "code": answer.get("code")}
    CALLS.write(json.dumps(line) + "\n")
