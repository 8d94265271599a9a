// Writes what the trainer reads: a vocabulary learnt from generated dialogues, and the dialogues as rows of token ids.
//   node tests/models/train/prepare.ts --out <folder> [--dialogues 150000] [--seed 1] [--vocabulary <file>]
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encoderOf, learn, type Encoder, type Vocabulary } from '../bpe.ts';
import { controlTokens, piecesOf } from '../dialogues/chat.ts';
import { copyingDialogue, trainingDialogue, type Dialogue } from '../dialogues/dialogue.ts';
import { soupOf } from '../dialogues/words.ts';

const vocabularySize = 1024;
const learnFrom = 12_000;
/** So many dialogues at the start teach copying alone. */
const copyingFirst = 8000;
/** Longer dialogues than this are left out: they cost much and teach little. */
const rowTokensMax = 1600;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    dialogues: { type: 'string', default: '150000' },
    seed: { type: 'string', default: '1' },
    vocabulary: { type: 'string' },
  },
});
if (values.out === undefined) throw new Error('--out <folder> is needed');
const seed = Number(values.seed) * 10_000_000;
const dialogues = Number(values.dialogues);
mkdirSync(values.out, { recursive: true });

const textOf = (dialogue: Dialogue): string =>
  piecesOf(dialogue.messages, dialogue.tools)
    .map((piece) => piece.text)
    .join('');
function* sampleTexts(): Iterable<string> {
  for (let i = 0; i < learnFrom; i += 1)
    yield textOf(trainingDialogue(seed + 5_000_000 + i)).replace(/<\|\w+\|>/g, '\n');
}
const vocabulary: Vocabulary =
  values.vocabulary === undefined
    ? learn(sampleTexts(), vocabularySize, controlTokens)
    : (JSON.parse(readFileSync(values.vocabulary, 'utf8')) as Vocabulary);
writeFileSync(join(values.out, 'vocabulary.json'), JSON.stringify(vocabulary));

/** Token ids of a dialogue, and for each whether the model wrote it. */
function rowOf(dialogue: Dialogue, encoder: Encoder): { tokens: number[]; answers: number[] } {
  const tokens: number[] = [];
  const answers: number[] = [];
  for (const piece of piecesOf(dialogue.messages, dialogue.tools)) {
    const ids = encoder.encode(piece.text);
    tokens.push(...ids);
    answers.push(...ids.map(() => (piece.answer ? 1 : 0)));
  }
  return { tokens, answers };
}

const encoder = encoderOf(vocabulary);
const soup = soupOf(vocabulary.tokens.slice(vocabulary.controls + 256));
const tokensFile = createWriteStream(join(values.out, 'tokens.u16'));
const answersFile = createWriteStream(join(values.out, 'answers.u8'));
const lengths: number[] = [];
for (let i = 0; i < dialogues; i += 1) {
  const { tokens, answers } = rowOf((i < copyingFirst ? copyingDialogue : trainingDialogue)(seed + i, soup), encoder);
  if (tokens.length > rowTokensMax) continue;
  lengths.push(tokens.length);
  tokensFile.write(Buffer.from(Uint16Array.from(tokens).buffer));
  answersFile.write(Buffer.from(Uint8Array.from(answers).buffer));
}
tokensFile.end();
answersFile.end();
writeFileSync(join(values.out, 'lengths.json'), JSON.stringify({ first: copyingFirst, lengths }));
console.log(
  `${lengths.length} dialogues, ${lengths.reduce((sum, length) => sum + length, 0)} tokens, vocabulary of ${vocabulary.tokens.length}`,
);
