/** `npm run test:model`: at the size that the promises are made for. */
import { describeReviewConflicts } from './review-conflicts.js';

describeReviewConflicts({
  commands: Number(process.env['MODEL_COMMANDS'] ?? 10_000),
  searches: 100,
  seed: Number(process.env['MODEL_SEED'] ?? 1),
});
