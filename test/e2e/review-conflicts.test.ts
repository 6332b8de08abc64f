/** A small one of `npm run test:model`, at each test run. */
import { describeReviewConflicts } from '../model/review-conflicts.js';

describeReviewConflicts({ commands: 400, searches: 30, seed: 2 });
