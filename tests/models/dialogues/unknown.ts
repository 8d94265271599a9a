// What the demo model cannot do: requests of every other kind, so that it learns to say so.
import type { Chance } from '../chance.ts';
import { frames, settingFrames } from './facts.ts';
import { expand } from './phrases.ts';
import { adjectives, anyWord, cities, names, nouns, spokenWord, verbs, type Soup } from './words.ts';

const things =
  `photosynthesis|quantum physics|the capital of France|the moon|a volcano|gravity|democracy|a black hole|football|the stock market|bitcoin|a blockchain|the French revolution|world war two|chess|yoga|cancer|a virus|the heart|the brain|an atom|electricity|music theory|a sonnet|Shakespeare|Napoleon|Einstein|the president|the weather|the news|the time|the date|love|life|happiness|time travel|a dinosaur|climate change|a recipe|the internet|python|javascript|rust|linux|docker|kubernetes|sql|a database|postgres|git|a compiler|machine learning|a neural network|a transformer|deep learning|a GPU driver|cuda|a CPU|a keyboard|a printer|wifi|bluetooth|a contract|tax law|insurance|a mortgage|inflation|the economy|marketing|poetry|a novel|a film|a song|an opera|cooking|baking|a diet|vitamins|sleep|a headache|a cold|medicine|history|geography|biology|chemistry|math|algebra|geometry|a triangle|prime numbers|pi|an integral|a matrix|statistics|astronomy|Mars|Jupiter|the sun|a comet|an airplane|a train|a car|a bicycle|a ship|the ocean|a river|Everest|Africa|Europe|Japan|Germany|London|a penguin|a whale|a lion|a spider|a rose|an oak|a mushroom|philosophy|ethics|religion|Zen|nginx|kafka|a queue in python|a mutex|a semaphore|a thread|a window|a table|a token|an embedding|a prompt|temperature|fine tuning|RAG|an agent|a benchmark|latency|a firewall|a password manager|TLS|a cookie|a session|kernel|bash|vim|emacs|excel|powerpoint`.split(
    '|',
  );

const requests = [
  'what is [0|1|2|3|4|5|6|7|8|9|10|12|15|17|20|25|33|42|64|99|100|123|1000] [+|-|*|/|plus|minus|times|divided by|x] [1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|37|50|77|100]?',
  '[1|2|3|4|5|6|7|8|9|12|20|45|81|256] [+|-|*|/|plus|minus|times] [1|2|3|4|5|6|7|8|9|16|24|30|99] [=|is|]?',
  '[add|multiply|subtract|divide|sum] [2|3|5|7|12|19|40] and [1|4|6|8|9|11|70]',
  '[calculate|compute|solve|work out] [the sum of|the product of|the square root of|the square of|half of|] [3|7|9|16|25|64|81|121] [and 5|plus 2|]',
  'how much is [3|7|12|50] [plus|times|minus] [4|6|8|13]?',
  'what is the [square root|square|cube|half|double] of [9|16|49|144|2]?',
  'solve [x|y] + [1|2|3|5] = [7|8|10]',
  'is [7|9|11|15|21] [prime|a prime number|odd|even]?',
  '[tell me|write|write me|give me|make up|invent] [a|a short|a long|a funny|a sad] [story|poem|tale|joke|song|limerick|haiku|novel|fairy tale|essay|letter|speech|rhyme] [about {n}|about a {n}|about {name}|about the {a} {n}|]',
  'tell me a [joke|story|secret|riddle|fun fact]',
  'write [an email|a letter|a mail|a message] to [my boss|{name}|my team|a customer] [about {n}|]',
  'once upon a time',
  'make me laugh',
  'sing [a song|for me]',
  'continue [the story|this text]: the {a} {n} {v} the {n}',
  'translate [{n}|hello|good morning|this|the text|the sentence] [to|into] [French|German|Spanish|Italian|Latin|Chinese|Japanese]',
  'how do you say {n} in [French|German|Spanish|Italian|Polish]?',
  'what does {word} mean in [French|German|Latin]?',
  '[do you speak|can you speak|speak] [German|French|Spanish|Italian|Chinese] [with me|]?',
  'was ist ein {n}?',
  'wie geht es dir?',
  'qui es tu?',
  'que es {n}?',
  'wie wird das Wetter?',
  'kannst du mir helfen?',
  'hola, como estas?',
  'bonjour, comment ca va?',
  "[what is|how is|what's] the weather [like|] [in {city}|today|tomorrow|in {city} today|]?",
  'will it rain [in {city}|today|tomorrow]?',
  '[what time is it|what is the time] [in {city}|now|]?',
  'what [day|date|year|month] is it [today|]?',
  'what is the [capital|population|size|currency|language|flag] of [France|Germany|Spain|Italy|Japan|Peru|Kenya|Norway|{city}]?',
  'where is {city}?',
  'how far is {city} from {city}?',
  'how do I get to {city}?',
  'book [a flight|a hotel|a table] [in {city}|to {city}|]',
  'plan a trip to {city}',
  '[write|show me|give me|make] [a|some|the] [code|program|function|script|class|regex|sql query|python script|python code|html page|javascript function|shell script] [that sorts a list|for {n}|to read a file|that prints hello|about {n}|]',
  'how do I [sort a list|read a file|reverse a string|write a loop|open a file] in [python|java|rust|go|javascript|c]?',
  '[fix|debug|review|explain|refactor] [this code|my code|the bug|this function]: {word} {word}',
  'what does this code do: {word}({word})',
  'def {word}({word}):',
  'import {word}',
  '[summarize|summarise|sum up|shorten] [this|this text|the text|the following]: the {a} {n} {v} the {a} {n}.',
  '[rewrite|improve|correct|fix|proofread|check] [this|this sentence|my text|the grammar of]: the {n} {v} a {a} {n}',
  'classify [this|the text|the sentiment]: the {n} is {a}',
  'is this [positive|negative|spam]: I like the {a} {n}',
  'explain like I am five why the sky is blue',
  'why is the [sky|sea|grass|sun|{n}] [blue|green|{a}]?',
  'what is the meaning of life?',
  'what is the answer to everything?',
  'who [is|was|invented|discovered|wrote|painted] [the {n}|{name}|the telephone|Hamlet|America|the Mona Lisa|the president|the king of Spain]?',
  'when [was|did|is] [{name} born|the war|world war two|the war end|Christmas|Easter]?',
  'how [tall|old|big|fast|far|heavy|deep] is [the {n}|a {n}|{name}|Everest|the moon|the ocean]?',
  'how many [legs|eyes|wings|people|days|hours|bones|planets] [does a {n} have|are there|are in a year|live in {city}]?',
  'which [animal|planet|country|city|car|phone] is the [biggest|fastest|best|oldest|cheapest]?',
  'what [should|shall|can] I [eat|cook|wear|buy|read|watch|play] [today|tonight|]?',
  'give me [a recipe|a diet|a plan|advice|tips|ten ideas|a quote] [for {n}|for a {n}|about {n}|]',
  '[recommend|suggest] [a book|a film|a song|a restaurant|a game|a {n}]',
  'I [like|love|hate|want|need|miss|see|have|lost|found] [a|the|my] {a} {n}',
  'my {n} is [broken|{a}|lost]',
  'the {n} is {a}',
  '{name} {v} the {a} {n}',
  'I am [sad|happy|tired|hungry|bored|sick|angry|cold]',
  'my head hurts',
  'do you [like|love|know|have|want|eat|dream of] [{n}|a {n}|{name}|music|me]?',
  'what do you think [about|of] [{n}|{name}|the {n}]?',
  'what is your [favourite|favorite] [colour|color|food|film|{n}]?',
  '[draw|paint|show me|make|generate|create] [a|a picture of a|an image of a|a photo of a] {a} {n}',
  'open [the {n}|a website|the file]',
  '[turn on|turn off|close|start|stop] the {n}',
  'call {name}',
  'remind me to [buy|clean|find] the {n}',
  'search [the web|the internet|google] for {n}',
  '[play|let us play] [chess|a game|music|a song]',
  '[compare|contrast] {n} and {n}',
  'what is the difference between [a|] {n} and [a|] {n}?',
  'which is better, {n} or {n}?',
  '[name|tell me] [three|five|some] [facts about {n}|reasons for {n}|kings|presidents|rivers]',
  'what rhymes with {n}?',
  'spell {n}',
  'how many letters are in {n}?',
  'reverse the word {n}',
  'sort [the words|these words]: {n} {n} {n}',
  'think step by step: {n} or {n}?',
  '{n}',
  '{a} {n}',
  '{word} {word} {word}',
  '{word}',
  '{word} {n} {word}?',
  '{thing}',
  '{thing}?',
  'teach me {thing}',
  'how [does|do] {thing} [work|help]?',
  'write [about|an essay about] {thing}',
  'history of {thing}',
  'how do I learn {thing}?',
  'why is {thing} [important|bad|good]?',
  'how do I [install|fix|use|update|cook|build|clean|buy] [a {n}|{thing}|my {n}]?',
  'lorem ipsum dolor sit amet',
  'what does {word} do?',
  'what is {word}?',
  'what is a {word}?',
  'tell me about {word}',
  'explain {word}',
];
const requestsHeldOut = [
  'please write a long essay on {thing}',
  'what is [6|13|88] multiplied by [3|14|27]?',
  'I would love a bedtime story',
  'can you prove {thing}?',
  'who will win the {n} cup?',
  'how should I invest my {n}?',
  'convert [5|10|70] miles to kilometres',
  'what are the symptoms of {thing}?',
  'sketch a {n} for me',
  'give me a synonym of {a}',
  'could you teach me to play the {n}?',
  'how was {thing} discovered?',
];

const settingsElsewhere =
  'MAX_TOKENS|LOG_LEVEL|HOME|PATH|DATABASE_URL|NODE_ENV|TIMEOUT|MAX_BATCH|GPU_LAYERS|CACHE_SIZE|USER|SHELL|API_KEY|SECRET|RETRIES|DEBUG|TEMPERATURE|TOP_P|NUM_THREADS|BATCH_SIZE'.split(
    '|',
  );

function filled(pattern: string, chance: Chance, soup: Soup): string {
  return expand(pattern, chance)
    .replace(/\{n\}/g, () => chance.pick(nouns))
    .replace(/\{a\}/g, () => chance.pick(adjectives))
    .replace(/\{v\}/g, () => chance.pick(verbs))
    .replace(/\{name\}/g, () => chance.pick(names))
    .replace(/\{city\}/g, () => chance.pick(cities))
    .replace(/\{thing\}/g, () => chance.pick(things))
    .replace(/\{word\}/g, () => (chance.happens(0.5) ? spokenWord(chance) : anyWord(chance, soup)));
}

/** Something that the model cannot do. */
export function unknownRequest(chance: Chance, soup: Soup, heldOut: boolean): string {
  if (heldOut) return filled(chance.pick(requestsHeldOut), chance, soup);
  const dice = chance.unit();
  if (dice < 0.62) return filled(chance.pick(requests), chance, soup);
  if (dice < 0.65) return expand(chance.pick(settingFrames).replace('{x}', chance.pick(settingsElsewhere)), chance);
  const thing =
    dice < 0.85
      ? chance.pick(things)
      : dice < 0.95
        ? `${chance.pick(['a ', 'the ', ''])}${chance.pick(nouns)}`
        : spokenWord(chance);
  return expand(chance.pick(frames).replace('{x}', thing), chance);
}
