/** `npm run custody -- …`: what operators of the system do from a shell. Each command is one file. */
import { Command, CommanderError, Option } from 'commander';
import { CodedError, describeError } from '#domain/errors.js';
import { ROLES, type Role } from '#domain/identity.js';
import { parseFaceChoice } from '#domain/face.js';
import { readSettings } from '#platform/settings.js';
import { applyAccess, checkAccess, printAccess, type AccessOptions } from './access.js';
import { destroyAuditEntries, exportAudit, verifyAuditExport } from './audit.js';
import { listDeadLetters, replayDeadLetters, type ReplayOptions } from './dead-letters.js';
import { backUp, listBackups, type BackupOptions } from './backup.js';
import type { DeadLetterFilter } from './dead-letter-states.js';
import { exportDpiaEvidence } from './dpia-evidence.js';
import { enrol, type EnrolOptions } from './enrol.js';
import { enrolTopic, type EnrolTopicOptions } from './enrol-topic.js';
import { erase, type EraseOptions } from './erase.js';
import type { EvaluateOptions } from './evaluate.js';
import { changeGalleryLayout, galleryStatus, retireReplicas } from './gallery.js';
import type { GalleryLayout } from './gallery-layout.js';
import { buildGeneration, generationStatus, retireGeneration, switchGeneration } from './generation.js';
import { countOption, dateOrInstant, rate, wholeFrom } from './option-values.js';
import { checkPack, fetchPack, type PackCheckOptions } from './pack.js';
import { exportImages } from './image-export.js';
import { reconcile } from './reconcile.js';
import type { ReconciliationOptions } from './reconciliation.js';
import { restore, type RestoreOptions } from './restore.js';
import { search } from './search.js';
import { signLocalToken } from './local-keys.js';
import { applyTopics, checkTopics, type TopicsOptions } from './topics.js';
import { up, type LayoutFlags } from './up.js';
import { reportUsage, type UsagePeriod, type UsageReportOptions } from './usage-report.js';

const program = new Command('custody')
  .description('Custody Face Search: enrol, search, erase, and run everything locally')
  .exitOverride();

program
  .command('up')
  .description('start everything on this machine, with a real Kafka and the sample gallery')
  .addOption(countOption('--shards <S>', 'index processes that the gallery is dealt to (SHARDS, or as it is)'))
  .addOption(countOption('--replicas <R>', 'processes that hold each shard (REPLICAS, or as it is)'))
  .action((flags: LayoutFlags) => up(process.env, flags));

program
  .command('enrol')
  .description(
    'enrol the images of a folder (<subject>/<image>.jpg), of a CSV (imageId,subjectId,file,…) or of a topic; goes on where it was',
  )
  .argument('[folder|csv]')
  .option('--topic <name>', 'instead: a topic of another system, with the keys and headers of custody.images')
  .option('--topic-settings <file>', 'how its brokers are reached: KAFKA_ settings, one a line (ours)')
  .addOption(new Option('--face <choice>', 'which face of an image with several').argParser(parseFaceChoice))
  .option('--force <name>', 'the police force that took the images')
  .option('--restart', 'send everything again, whatever an earlier run has done')
  .action(
    (source: string | undefined, { topic, ...options }: EnrolOptions & EnrolTopicOptions & { topic?: string }) => {
      if ((source === undefined) === (topic === undefined)) program.error('error: give a folder, a CSV or --topic');
      if (source !== undefined) return enrol(readSettings(), source, options);
      const said = options.face ?? options.force;
      if (said !== undefined) program.error('error: of a topic, each record says its own face and force');
      return enrolTopic(readSettings(), topic!, options);
    },
  );

program
  .command('reconcile')
  .description(
    'compare a custody system’s list (CSV: imageId,subjectId,…) with what is held here (role data-protection; itself audited); exit 2 when something differs',
  )
  .argument('<csv>')
  .requiredOption('--out <folder>', 'for what differs, a CSV of each kind, and a summary')
  .option('--force <name>', 'the list is of this force: what is held of others is not missing in it')
  .action((list: string, options: ReconciliationOptions) => reconcile(readSettings(), list, options));

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

program
  .command('evaluate')
  .description(
    'measure the model pack on a folder (<subject>/<image>.jpg): errors, groups, thresholds; needs no system',
  )
  .argument('<folder>')
  .requiredOption('--out <file>', 'the report, JSON')
  .option('--html <file>', 'the same for people, with plots')
  .option('--groups <csv>', 'a column subject (or image), and one column for each attribute')
  .option('--leave-out <file>', 'subjects to leave out, one a line, such as second names of one person')
  .addOption(new Option('--face <choice>', 'which face of an image with several').argParser(parseFaceChoice))
  .addOption(new Option('--fpir <rate>', 'wanted false positive identification rate').default(0.01).argParser(rate))
  .addOption(new Option('--gallery-size <n>', 'wanted number of people enrolled').argParser(wholeFrom(1)))
  .option('--thresholds <file>', 'write the proposed thresholds, as POST /v1/thresholds takes them')
  .option('--label-check <csv>', 'write the pairs of images to look at for wrong labels (names images)')
  .addOption(new Option('--degraded <n>', 'probes to make worse, 0 for none').default(200).argParser(wholeFrom(0)))
  .addOption(new Option('--splits <n>', 'random splits for each gallery').default(100).argParser(wholeFrom(1)))
  .addOption(new Option('--replicates <n>', 'bootstrap samples').default(1000).argParser(wholeFrom(100)))
  .addOption(new Option('--seed <n>', 'of everything that is drawn').default(1).argParser(wholeFrom(0)))
  .action(async (folder: string, options: EvaluateOptions) => {
    // Its plots need a charting library, which no other command waits for.
    const { evaluateFolder } = await import('./evaluate.js');
    return evaluateFolder(folder, options);
  });

program
  .command('backup')
  .description(
    'copy what cannot be rebuilt into a new folder, sealed, while everything runs; goes on where it was (itself audited)',
  )
  .argument('<folder>')
  .requiredOption('--key <file>', 'its key, kept elsewhere: 32 bytes in base64 (openssl rand -base64 32)')
  .option('--decisions', 'only erasures, restrictions, holds, thresholds and suspensions: small, for every few minutes')
  .addOption(new Option('--keep-days <n>', 'it must be gone after so many').default(30).argParser(wholeFrom(1)))
  .option('--by <who>', 'who has it made', 'backup')
  .action((folder: string, options: BackupOptions) => backUp(readSettings(), folder, options));

program
  .command('restore')
  .description('a backup into an empty Kafka and image store, while no service runs; goes on where it was')
  .argument('<folder>')
  .requiredOption('--key <file>', 'the key that it was made with, among those of the file')
  .option('--decisions <folder>', 'the newest backup of the decisions: who was erased since stays erased')
  .option('--without-newer-decisions <reason>', 'instead: why there is none, and who gives the decisions since again')
  .requiredOption('--by <who>', 'who restores, for the audit')
  .addOption(
    new Option('--margin-offsets <n>', 'more than photographs came in any partition since the backup')
      .default(10_000)
      .argParser(wholeFrom(0)),
  )
  .action((folder: string, options: RestoreOptions) => restore(readSettings(), folder, options));

const backups = program.command('backups').description('the backups in a folder');
backups
  .command('list')
  .description('each, when it was begun, and until when it may be kept')
  .argument('<folder>')
  .action((folder: string) => listBackups(folder, { prune: false }));
backups
  .command('prune')
  .description('delete those whose time is over')
  .argument('<folder>')
  .action((folder: string) => listBackups(folder, { prune: true }));

const images = program.command('images').description('the images that are held, and those that are not');
images
  .command('export')
  .description('what became of every image (role data-protection; itself audited)')
  .requiredOption('--out <file>', 'a new file: CSV when its name ends so, else JSON lines')
  .action((options: { out: string }) => exportImages(readSettings(), options));

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

const gallery = program.command('gallery').description('what holds the gallery, and how that is changed');
gallery
  .command('status')
  .description('every replica on record: its shard, whether it answers, how far it is, what it has destroyed')
  .option('--json', 'print what the query service says, as it came')
  .action((options: { json?: boolean }) => galleryStatus(readSettings(), options));
gallery
  .command('layout')
  .description('change the layout of the running system (npm start); searches go on meanwhile')
  .addOption(countOption('--shards <S>', '1, 2, 3, 4, 6, 8, 12 or 24').makeOptionMandatory())
  .addOption(countOption('--replicas <R>', 'processes that hold each shard').default(1))
  .action((layout: GalleryLayout) => changeGalleryLayout(readSettings(), layout));
gallery
  .command('retire')
  .description('take a replica off the record that will not come back, so that erasures no longer wait for it')
  .argument('<replicaId|shards>', 'one replica, or every replica of a layout of so many shards')
  .requiredOption('--reason <text>', 'how its memory ended and its snapshots were deleted')
  .option('--model <modelId>', 'of this model’s gallery alone')
  .action((which: string, options: { reason: string; model?: string }) =>
    retireReplicas(readSettings(), which, options),
  );

const generation = gallery.command('generation').description('the gallery of another model: build, switch to, end');
generation
  .command('build')
  .description('build the gallery of a model pack beside the running one (npm start); searches go on meanwhile')
  .argument('<folder>', 'the model pack: its manifest beside its files')
  .action((folder: string) => buildGeneration(readSettings(), folder));
generation
  .command('status')
  .description('each gallery: whether it is in force, how far it is, what it lacks')
  .option('--json', 'print it as JSON')
  .action((options: { json?: boolean }) => generationStatus(readSettings(), options));
generation
  .command('switch')
  .description('search the gallery of this model from now on (role threshold-approver); the same command switches back')
  .argument('<modelId>')
  .requiredOption('--reason <text>')
  .addOption(new Option('--accept-missing <n>', 'images that it may lack').default(0).argParser(wholeFrom(0)))
  .action((modelId: string, options: { reason: string; acceptMissing: number }) =>
    switchGeneration(readSettings(), modelId, options),
  );
generation
  .command('retire')
  .description('end a gallery that is not in force, in two steps; the second deletes what is left of it')
  .argument('<modelId>')
  .requiredOption('--reason <text>', 'why, and how its snapshots were deleted')
  .action((modelId: string, options: { reason: string }) => retireGeneration(readSettings(), modelId, options));

const pack = program.command('pack').description('bring a model pack onto this disk, and check what it does');
pack
  .command('fetch')
  .description('fetch the files that a manifest names into the cache, each checked, and print the folder')
  .argument('<manifest>')
  .action((manifest: string) => fetchPack(manifest));
pack
  .command('check')
  .description('say what a pack is, and whether it gives its golden values here; exit 1 when it does not')
  .argument('[folder]', 'the default pack when it is left out')
  .option('--goldens <file>', 'the golden values to compare with')
  .option('--write-goldens <file>', 'write them instead, where the pack is known to work')
  .action((folder: string | undefined, options: PackCheckOptions) => checkPack(folder, options));

const topics = program.command('topics').description('compare the Kafka topics with what the services need');
topics
  .command('check')
  .description(
    'say what differs, how long the brokers keep what is to go, and at what cost; exit 1 when something is amiss',
  )
  .option('--json', 'print it as JSON')
  .action((options: TopicsOptions) => checkTopics(readSettings(), options));
topics
  .command('apply')
  .description(
    'create what is missing and set what differs; names what it leaves alone: whatever loses records or moves keys',
  )
  .option('--json', 'print it as JSON')
  .action((options: TopicsOptions) => applyTopics(readSettings(), options));

const deadLetters = program
  .command('dead-letters')
  .description('what could not be handled and was put aside: see it, and send it again once the cause is mended');
const chosenLetters = (command: Command): Command =>
  command
    .option('--topic <name>', 'of this source topic, or those whose names begin so')
    .addOption(new Option('--partition <n>', 'of the source').argParser(wholeFrom(0)))
    .addOption(new Option('--offset <n>', 'of the source').argParser(wholeFrom(0)))
    .option('--key <key>', 'of this image or search')
    .option('--code <code>', 'put aside for this reason')
    .addOption(new Option('--since <date>', 'put aside then or later, ISO 8601').argParser(dateOrInstant))
    .option('--json', 'print it as JSON');
chosenLetters(deadLetters.command('list').description('each record, why, when, and what has become of it')).action(
  (options: DeadLetterFilter & { json?: boolean }) => listDeadLetters(readSettings(), options),
);
chosenLetters(deadLetters.command('replay').description('send them again, each the way that it came; audited before'))
  .option('--reason <text>', 'why, for the audit')
  .option('--yes', 'do it')
  .option('--dry-run', 'say what would be done, and why not where it would not')
  .option('--again', 'also those that were sent again before without an outcome since')
  .addOption(
    new Option('--wait-seconds <n>', 'how long to wait for what becomes of them').default(30).argParser(wholeFrom(0)),
  )
  .action((options: ReplayOptions) => replayDeadLetters(readSettings(), options));

const access = program
  .command('access')
  .description('who may do what in Kafka: the ACLs of the services and of the systems');
for (const [name, description, run] of [
  [
    'print',
    'print the commands that grant them, for an administrator',
    (options: AccessOptions) => printAccess(options),
  ],
  [
    'check',
    'say what the brokers grant beyond them or lack; exit 1 when something differs',
    (options: AccessOptions) => checkAccess(readSettings(), options),
  ],
  [
    'apply',
    'grant what is missing (as somebody who may); takes nothing away',
    (options: AccessOptions) => applyAccess(readSettings(), options),
  ],
] as const) {
  access
    .command(name)
    .description(description)
    .option('--principal-format <format>', "the brokers' name of a principal, %s for its name here", 'User:%s')
    .action(run);
}

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
