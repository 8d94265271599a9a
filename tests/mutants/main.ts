// `npm run mutants`: plants every fault, one at a time, and names those that no test noticed. ONLY=a pattern.
import { openCopy, readMutants } from './copy.ts';

const { ONLY = '' } = process.env;
const mutants = (await readMutants()).filter(({ name }) => new RegExp(ONLY).test(name));
const alive: string[] = [];
{
  await using copy = await openCopy();
  const sound = new Map<string, boolean>();
  for (const mutant of mutants) {
    const test = `${mutant.file} > ${mutant.title}`;
    if (!sound.has(test)) sound.set(test, await copy.passes(mutant));
    const verdict = await copy.judge(mutant);
    const fate = sound.get(test) ? verdict.fate : 'its test fails without it';
    console.log(`${fate.padEnd(10)} ${mutant.name} (${(verdict.tookMs / 1_000).toFixed(1)} s)`);
    if (fate === 'killed') continue;
    alive.push(`${mutant.name}: ${fate}. ${mutant.why} Should be killed by ${test}`);
    if (fate === 'broken') console.log(verdict.output.slice(-2_000));
  }
}
console.log(`${mutants.length - alive.length} of ${mutants.length} mutants killed`);
for (const line of alive) console.log(line);
process.exitCode = alive.length > 0 ? 1 : 0;
