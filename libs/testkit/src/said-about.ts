/** Whether a text says anything of what it must not: given words in the forms that programs write them in. */

/** As it is, and as JSON, a URL, base64 or hexadecimal have it; in whatever case. */
function formsOf(word: string): readonly string[] {
  const bytes = Buffer.from(word, 'utf8');
  const base64 = [0, 1, 2].flatMap((start) => {
    const whole = bytes.subarray(start, start + 3 * Math.floor((bytes.length - start) / 3));
    return [whole.toString('base64'), whole.toString('base64url')];
  });
  const forms = [word, JSON.stringify(word).slice(1, -1), encodeURIComponent(word), bytes.toString('hex'), ...base64];
  return [...new Set(forms.map((form) => form.toLowerCase()))];
}

/** @returns which of the words are there, each with the line that has it */
export function saidAbout(text: string, words: Readonly<Record<string, string>>): readonly string[] {
  const lines = text.toLowerCase().split('\n');
  return Object.entries(words).flatMap(([what, word]) => {
    const forms = formsOf(word);
    const line = lines.find((candidate) => forms.some((form) => candidate.includes(form)));
    return line === undefined ? [] : [`${what}: ${line.slice(0, 500)}`];
  });
}
