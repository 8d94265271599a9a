// Keeps a family's label values bounded: what is too many becomes `other`, and sums stay true.
import { closedCombos } from './families.ts';
import type { Family } from './families.ts';

export type Labels<L extends string = string> = Readonly<Record<L, string>>;

export interface Admission<L extends string, Cell> {
  /** What is kept for these labels, or for what remained of them. */
  cell(labels: Labels<L>): Cell;
  all(): Iterable<Cell>;
  /** Everything may be used anew. */
  clear(): void;
}

/**
 * 1. A combination that is known stays.
 * 2. A new one is taken while there is room: half of it for full detail, the rest for combinations that lost labels.
 * 3. Else the last open label becomes `other`, then the one before it, and so on.
 * 4. With every open label given up only the closed lists are left, for which room is always kept.
 * @param create makes what is kept for a combination
 * @param onFold called when labels were given up
 */
export function createAdmission<L extends string, Cell>(
  { labels: sizes, combosMax }: Family<L>,
  create: (labels: Labels<L>) => Cell,
  onFold: () => void,
): Admission<L, Cell> {
  const names = Object.keys(sizes) as L[];
  const open = names.filter((name) => sizes[name] === 'open').reverse();
  const room = open.length > 0 ? combosMax - closedCombos(sizes) : combosMax;
  const detailed = open.length > 1 ? Math.ceil(room / 2) : room;
  let cells: Cell[] = [];
  let root = emptyNode<Cell>();
  const find = (labels: Labels<L>): Cell | undefined => {
    let node: Node<Cell> | undefined = root;
    for (const name of names) node = node?.next.get(labels[name]);
    return node?.cell;
  };
  const admit = (labels: Labels<L>, limit: number): Cell | undefined => {
    const known = find(labels);
    if (known !== undefined || cells.length >= limit) return known; // 1
    const fresh = create(labels);
    let node = root;
    for (const name of names) node = childOf(node, labels[name]);
    node.cell = fresh;
    cells.push(fresh); // 2
    return fresh;
  };

  return {
    cell(labels) {
      const whole = admit(labels, detailed);
      if (whole !== undefined) return whole;
      onFold();
      let folded = labels;
      for (const name of open.slice(0, -1)) {
        folded = { ...folded, [name]: 'other' }; // 3
        const part = admit(folded, room);
        if (part !== undefined) return part;
      }
      return admit({ ...folded, ...Object.fromEntries(open.map((name) => [name, 'other'])) }, Infinity) as Cell; // 4
    },
    all: () => cells,
    clear: () => {
      cells = [];
      root = emptyNode();
    },
  };
}

/** A level per label: looking up is a third of the cost of making one key of all (measured). */
interface Node<Cell> {
  next: Map<string, Node<Cell>>;
  cell: Cell | undefined;
}

function emptyNode<Cell>(): Node<Cell> {
  return { next: new Map(), cell: undefined };
}

function childOf<Cell>(node: Node<Cell>, value: string): Node<Cell> {
  const known = node.next.get(value);
  if (known !== undefined) return known;
  const fresh = emptyNode<Cell>();
  node.next.set(value, fresh);
  return fresh;
}
