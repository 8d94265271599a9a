// OpenAI's `tool_choice`: which tools a model is told of, and whether it has to call one.
import type { Generation, Tool } from '../request.ts';
import { type Check, type Fields, fieldsOf, list, name, oneOf, refuse } from './check.ts';
import * as parts from './parts.ts';

interface Chosen extends Pick<Generation, 'mustCall' | 'parallelCalls'> {
  tools: Tool[];
}

/** A named function is called once; `allowed_tools` hides the others. */
export function chosenTools(request: Fields): Chosen {
  const tools = request.optional('tools', list(parts.tool, parts.toolsMax)) ?? [];
  const choice = request.optional('tool_choice', toolChoice) ?? { mode: 'auto', names: null };
  if (choice.mode === 'none') return { tools: [] };
  const stray = choice.names?.find((wanted) => !tools.some((tool) => tool.name === wanted));
  if (stray !== undefined) refuse('tool_choice', `names the tool "${stray}", which is not among tools`);
  const allowed = tools.filter((tool) => choice.names?.includes(tool.name) ?? true);
  if (choice.mode === 'auto') return { tools: allowed };
  if (allowed.length === 0) refuse('tool_choice', 'wants a call, but there are no tools');
  const mustCall = allowed.map((tool) => tool.name);
  return choice.mode === 'named' ? { tools, mustCall, parallelCalls: false } : { tools: allowed, mustCall };
}

interface Choice {
  mode: 'auto' | 'none' | 'required' | 'named';
  /** `null` = all. */
  names: string[] | null;
}

const toolChoice: Check<Choice> = (value, path) => {
  if (value === 'auto' || value === 'none' || value === 'required') return { mode: value, names: null };
  if (typeof value !== 'object') return refuse(path, 'must be "auto", "none", "required" or an object');
  const choice = fieldsOf(value, path);
  const type = choice.required('type', oneOf('function', 'allowed_tools'));
  if (type === 'function') return { mode: 'named', names: [functionName(value, path)] };
  const allowed = choice.required('allowed_tools', fieldsOf);
  const mode = allowed.required('mode', oneOf('auto', 'required'));
  return { mode, names: allowed.required('tools', list(functionName, parts.toolsMax)) };
};

const functionName: Check<string> = (value, path) =>
  fieldsOf(value, path).required('function', fieldsOf).required('name', name);
