// What both processes do at their edges: read the environment's answer, write the log, hear when to leave.

/**
 * Writes lines in batches: one system call for many requests. Nothing is lost at a normal exit. When nobody reads any
 * more, lines are lost and the process goes on.
 */
export function batchedWriter(stream: NodeJS.WriteStream, everyMs = 20): (line: string) => void {
  let lines: string[] = [];
  const flush = () => {
    if (lines.length > 0) stream.write(lines.join(''));
    lines = [];
  };
  stream.on('error', () => {});
  process.on('exit', flush);
  return (line) => {
    if (lines.push(line) === 1) setTimeout(flush, everyMs).unref();
  };
}

/**
 * Settles once when this process shall leave: SIGTERM, Ctrl-C, or the end of the process that started it.
 * Ctrl-C reaches a whole process group; under a supervisor it is the supervisor's to hand on, as SIGTERM.
 */
export function toldToLeave(): Promise<string> {
  return new Promise((resolve) => {
    const supervised = process.send !== undefined;
    process.on('SIGTERM', () => resolve('SIGTERM'));
    process.on('SIGINT', () => (supervised ? undefined : resolve('SIGINT')));
    const alone = () => resolve('the supervisor has gone');
    if (supervised) process.on('disconnect', alone);
    if (supervised && !process.connected) alone();
  });
}

/** A start that cannot succeed: says why and what to do, without a stack. */
export function refuseToStart(error: unknown): never {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
