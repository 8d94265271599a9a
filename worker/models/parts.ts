// The files of one model: a large one may be split into several.

/** A split model's files, in order; any other model's one. */
export function partsOf(path: string): string[] {
  const [, head = '', count = '', end = ''] = /^(.*-)00001-of-(\d{5})(\.gguf)$/i.exec(path) ?? [];
  if (count === '') return [path];
  const numbers = Array.from({ length: Number(count) }, (_, index) => String(index + 1).padStart(5, '0'));
  return numbers.map((number) => `${head}${number}-of-${count}${end}`);
}
