/** `npm run custody -- …`: what operators of the system do from a shell. Each command is one file. */
import { Command, CommanderError, Option } from 'commander';
import { CodedError, describeError } from '#domain/errors.js';
import { ROLES, type Role } from '#domain/identity.js';
import { parseFaceChoice } from '#domain/face.js';
import { readSettings } from '#platform/settings.js';
import { enrol, type EnrolOptions } from './enrol.js';
import { erase } from './erase.js';
import { search } from './search.js';
import { signLocalToken } from './local-keys.js';
import { applyTopics, checkTopics } from './topics.js';
import { up } from './up.js';

const program = new Command('custody')
  .description('Custody Face Search: enrol, search, erase, and run everything locally')
  .exitOverride();

program
  .command('up')
  .description('start everything on this machine, with a real Kafka and the sample gallery')
  .action(() => up(process.env));

program
  .command('enrol')
  .description('enrol the images of a folder (<subject>/<image>.jpg) or of a CSV (imageId,subjectId,file,…)')
  .argument('<folder|csv>')
  .addOption(new Option('--face <choice>', 'which face of an image with several').argParser(parseFaceChoice))
  .option('--force <name>', 'the police force that took the images')
  .option('--restart', 'send everything again, whatever an earlier run has done')
  .action((source: string, options: EnrolOptions) => enrol(readSettings(), source, options));

program
  .command('search')
  .description('search for a face')
  .argument('<image>')
  .addOption(new Option('--kind <kind>').choices(['operator', 'retrospective']).makeOptionMandatory())
  .option('--grounds <grounds>', 'operator: on which grounds')
  .option('--justification <text>', 'why, in your own words')
  .option('--identity-unconfirmed', 'operator: identity is not confirmed by other means')
  .option('--crime-reference <reference>', 'retrospective')
  .option('--offence <offence>', 'retrospective')
  .option('--source <source>', 'retrospective: cctv, mobile, social-media or other')
  .option('--investigating-officer <id>', 'retrospective')
  .option('--face <choice>', 'index of a face, largest or central')
  .option('--limit <n>', 'candidates at most')
  .option('--json', 'print the answer as it came')
  .action((image: string, options: Record<string, string | boolean | undefined>) =>
    search(readSettings(), image, options),
  );

program
  .command('erase')
  .description('ask for the erasure of a custody image')
  .argument('<imageId>')
  .requiredOption('--reason <text>')
  .requiredOption('--authority <text>', 'what demands or permits it, for example "DPA 2018 s.47"')
  .action((imageId: string, options: { reason: string; authority: string }) => erase(readSettings(), imageId, options));

program
  .command('token')
  .description('print a bearer token of the local issuer, good for 15 minutes')
  .addOption(new Option('--role <role...>', 'one or more roles').choices([...ROLES]).makeOptionMandatory())
  .option('--subject <id>', 'who it is for', 'local-user')
  .action(async ({ role, subject }: { role: Role[]; subject: string }) => {
    process.stdout.write(`${await signLocalToken(readSettings(), role, subject)}\n`);
  });

const topics = program.command('topics').description('compare the Kafka topics with what the services need');
topics
  .command('check')
  .description('say what differs; exit 1 when something does')
  .action(() => checkTopics(readSettings()));
topics
  .command('apply')
  .description('create what is missing and set differing settings; never changes partition counts')
  .action(() => applyTopics(readSettings()));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode;
  } else {
    // One line that says what to do; the causes when somebody wants to look deeper.
    process.stderr.write(
      `${error instanceof CodedError ? `${error.code}: ${error.publicText}` : describeError(error)}\n`,
    );
    if (process.env['LOG_LEVEL'] === 'debug') process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`);
    // What was begun beside it, such as a download, is not waited for.
    process.exit(1);
  }
}
