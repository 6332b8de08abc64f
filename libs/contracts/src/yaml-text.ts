/** YAML of what JSON can hold, for the files that people read. */

/** What YAML reads as a text without quotes: no number, date, `yes` or `null`, and nothing that begins a structure. */
const PLAIN = /^[A-Za-z]([\w .,/();+-]*[\w.)])?$/;
const NOT_A_TEXT = /^(y|yes|n|no|on|off|true|false|null|nan|inf)$/i;

export function yamlText(value: unknown): string {
  return `${lines(value).join('\n')}\n`;
}

function lines(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.length > 0) {
    return value.flatMap((item) => {
      const [first, ...more] = lines(item);
      return [`- ${first}`, ...more.map((line) => `  ${line}`)];
    });
  }
  if (isFilled(value)) {
    return Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .flatMap(([name, part]) => {
        const key = scalar(name);
        if (!isFilled(part) && !(Array.isArray(part) && part.length > 0)) return [`${key}: ${scalar(part)}`];
        return [`${key}:`, ...lines(part).map((line) => `  ${line}`)];
      });
  }
  return [scalar(value)];
}

function isFilled(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
}

/** Double-quoted texts of YAML are those of JSON. */
function scalar(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value) && !NOT_A_TEXT.test(value)) return value;
  return JSON.stringify(value);
}
