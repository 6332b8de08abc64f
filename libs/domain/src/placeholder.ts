/**
 * Texts that a form shows, and that say nothing when they come back as somebody's reason: its labels and placeholders,
 * our own hints, and what people type to fill a field.
 */

/** In lower case, words and single blanks only. A reason that consists of nothing but these is none. */
const PLACEHOLDERS: readonly string[] = [
  // Labels.
  'justification',
  'justification for search',
  'justification for the search',
  'justification for this search',
  'reason',
  'reasons',
  'reason for search',
  'reason for the search',
  'reason for this search',
  'grounds',
  'grounds for search',
  'grounds for the search',
  'purpose of search',
  'purpose of the search',
  'notes',
  'comment',
  'comments',
  'description',
  'details',
  'free text',
  'required',
  'required field',
  'this field is required',
  'mandatory',
  'mandatory field',
  'optional',
  // Placeholders.
  'enter text here',
  'enter your text here',
  'enter reason',
  'enter reason here',
  'enter a reason',
  'enter a reason here',
  'enter your reason here',
  'enter reason for search',
  'enter the reason for the search',
  'enter justification',
  'enter justification here',
  'enter a justification',
  'enter your justification',
  'enter your justification here',
  'enter the justification for this search',
  'please enter',
  'please enter text',
  'please enter a reason',
  'please enter a justification',
  'please enter your justification',
  'please give a reason',
  'please give a reason for this search',
  'please provide a reason',
  'please provide a justification',
  'please state',
  'please specify',
  'please state the reason for this search',
  'provide justification here',
  'type here',
  'type your reason here',
  'type your justification here',
  'write here',
  'your text here',
  'your reason here',
  'your justification here',
  'click or tap here to enter text',
  'click here to enter text',
  'tap here to enter text',
  'describe the circumstances',
  'describe the circumstances here',
  'describe the circumstances of the search',
  'describe why this search is necessary',
  'explain why this search is necessary',
  'state why this search is necessary',
  'say why this search is necessary',
  'say in your own words why this search is necessary',
  'say in your own words why',
  'in your own words',
  'why is this search necessary',
  'why this search is necessary',
  'why is the search necessary and proportionate',
  'this search is necessary',
  'this search is necessary and proportionate',
  'the search is necessary and proportionate',
  'necessary and proportionate',
  'necessary proportionate and lawful',
  'at least 20 characters',
  'at least 60 characters',
  'minimum 20 characters',
  'minimum 60 characters',
  'max 2000 characters',
  // Fillers.
  'lorem ipsum',
  'lorem ipsum dolor sit amet',
  'consectetur adipiscing elit',
  'the quick brown fox jumps over the lazy dog',
  'n a',
  'not applicable',
  'none',
  'none given',
  'no reason',
  'no reason given',
  'as above',
  'see above',
  'see notes',
  'tbc',
  'tbd',
  'to be confirmed',
  'to be completed',
  'to be completed later',
  'to follow',
  'placeholder',
  'placeholder text',
  'sample text',
  'test',
  'testing',
  'test search',
  'this is a test',
  'asdf',
  'qwerty',
  'qwertyuiop',
  'asdfghjkl',
  'zxcvbnm',
  'police',
  'police purpose',
  'police purposes',
  'policing purpose',
  'policing purposes',
  'for a policing purpose',
  'for policing purposes',
  'other policing purpose',
  'identity unconfirmed',
  'identity not confirmed',
  'facial recognition search',
  'face search',
];

/**
 * Whether a text is a form's own, in whatever case, punctuation and number of repetitions.
 *
 * @param choices what the form's other fields let one choose: copied, they give no reason either
 */
export function isPlaceholder(text: string, choices: readonly string[] = []): boolean {
  // The longest first, so that a phrase goes before the words in it.
  const phrases = [...PLACEHOLDERS, ...choices.map(plainWords)].sort((a, b) => b.length - a.length);
  let rest = ` ${plainWords(text)} `;
  for (const phrase of phrases) {
    while (rest.includes(` ${phrase} `)) rest = rest.replace(` ${phrase} `, ' ');
  }
  return rest.trim() === '';
}

function plainWords(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}
