/** Whether a process of this id runs; somebody else's as well. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's, and there.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
