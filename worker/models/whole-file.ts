// A file that is written in one step, so that nobody ever sees half of it.
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The draft has a folder of its own: workers of several machines or containers may write the same file. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const folder = await mkdtemp(join(dirname(path), '.draft-'));
  try {
    await writeFile(join(folder, 'draft'), text, { flush: true });
    await rename(join(folder, 'draft'), path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
