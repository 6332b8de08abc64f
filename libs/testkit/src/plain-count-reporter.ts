/** Ends a test run with one plain line, `N passed, N failed`, for whoever reads the output with a program. */
import type { Reporter, TestModule } from 'vitest/node';

export default class PlainCountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      let failedTests = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'pending') continue;
        count[state]++;
        if (state === 'failed') failedTests++;
      }
      // A file that could not be loaded, or a hook that failed, has no failed test to show for it.
      if (!module.ok() && failedTests === 0) count.failed++;
    }
    count.failed += unhandledErrors.length;
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
    // After what the default reporter still has to say.
    process.once('exit', () => process.stdout.write(`\n${count.passed} passed, ${count.failed} failed${skipped}\n`));
  }
}
