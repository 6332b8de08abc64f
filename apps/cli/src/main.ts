/** `npm run custody -- …`: what operators of the system do from a shell. Each command is one file. */
import { Command, CommanderError, Option } from 'commander';
import { CodedError, describeError } from '#domain/errors.js';
import { ROLES, type Role } from '#domain/identity.js';
import { parseFaceChoice } from '#domain/face.js';
import { readSettings } from '#platform/settings.js';
import { destroyAuditEntries, exportAudit, verifyAuditExport } from './audit.js';
import { exportDpiaEvidence } from './dpia-evidence.js';
import { enrol, type EnrolOptions } from './enrol.js';
import { erase, type EraseOptions } from './erase.js';
import { search } from './search.js';
import { signLocalToken } from './local-keys.js';
import { applyTopics, checkTopics } from './topics.js';
import { up } from './up.js';
import { reportUsage, type UsagePeriod, type UsageReportOptions } from './usage-report.js';

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
  .option('--device-id <id>', 'operator: the device that is used (this machine’s name when it is left out)')
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
  .description('ask for the erasure of a custody image, or of every image of a subject, and follow it to its receipt')
  .argument('[imageId]')
  .option('--subject <subjectId>', 'instead of an image: all that are held of this person')
  .requiredOption('--reason <text>')
  .requiredOption('--authority <text>', 'what demands or permits it, for example "DPA 2018 s.47"')
  .action((imageId: string | undefined, { subject, ...why }: EraseOptions & { subject?: string }) => {
    if ((imageId === undefined) === (subject === undefined)) program.error('error: give an imageId or --subject');
    return erase(readSettings(), imageId !== undefined ? { imageId } : { subjectId: subject! }, why);
  });

program
  .command('token')
  .description('print a bearer token of the local issuer, good for 15 minutes')
  .addOption(new Option('--role <role...>', 'one or more roles').choices([...ROLES]).makeOptionMandatory())
  .option('--subject <id>', 'who it is for', 'local-user')
  .action(async ({ role, subject }: { role: Role[]; subject: string }) => {
    process.stdout.write(`${await signLocalToken(readSettings(), role, subject)}\n`);
  });

const audit = program.command('audit').description('copy, verify and end the retention of the audit');
audit
  .command('export')
  .description('copy everything that is needed to verify the audit elsewhere (role auditor; itself audited)')
  .requiredOption('--out <file>', 'a new file')
  .action((options: { out: string }) => exportAudit(readSettings(), options));
audit
  .command('verify')
  .description('verify an export, without the system; names the first entry that was changed; exit 1 when one was')
  .argument('<export>')
  .requiredOption('--key <file>', 'the verifier keys, one a line')
  .option('--checkpoint <path>', 'a checkpoint that you hold: a note, or the append-only copy (file or folder)')
  .action((file: string, options: { key: string; checkpoint?: string }) => verifyAuditExport(file, options));
audit
  .command('destroy')
  .description('destroy entries at the end of their retention; their leaves and proofs stay (role data-protection)')
  .requiredOption('--before <date>', 'those that were logged before then')
  .requiredOption('--authority <text>', 'what permits it, for example the retention schedule')
  .requiredOption('--reason <text>')
  .action((options: { before: string; authority: string; reason: string }) =>
    destroyAuditEntries(readSettings(), options),
  );

const topics = program.command('topics').description('compare the Kafka topics with what the services need');
topics
  .command('check')
  .description('say what differs; exit 1 when something does')
  .action(() => checkTopics(readSettings()));
topics
  .command('apply')
  .description('create what is missing and set differing settings; never changes partition counts')
  .action(() => applyTopics(readSettings()));

const report = program.command('report').description('reports for publication and for assessments');
report
  .command('usage')
  .description('searches, hits, outcomes and wrong leads, by kind, ground and month')
  .option('--from <date>', 'inclusive')
  .option('--to <date>', 'exclusive')
  .option('--suppress-below <n>', 'withhold the details of rows with smaller counts (5)')
  .option('--json', 'print the report as it came')
  .option('--csv', 'print one line a row')
  .action((options: UsageReportOptions) => reportUsage(readSettings(), options));
report
  .command('dpia')
  .description('a folder of evidence for a data protection impact assessment (role data-protection; itself audited)')
  .requiredOption('--out <folder>', 'a new folder')
  .option('--from <date>', 'of the counts of use: inclusive')
  .option('--to <date>', 'of the counts of use: exclusive')
  .option('--suppress-below <n>', 'withhold the details of rows of use with smaller counts (5)')
  .action((options: UsagePeriod & { out: string }) => exportDpiaEvidence(readSettings(), options));

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
