/** How a case ended, or that it has begun. */
export const CASE_OUTCOMES = ['no-further-action', 'charged', 'acquitted', 'convicted'] as const;
export type CaseOutcome = (typeof CASE_OUTCOMES)[number];
