// The words that dialogues are made of: plain lists, and words that nobody has seen before.
import type { Chance } from '../chance.ts';

const list = (text: string): readonly string[] => text.trim().split(/\s+/);

export const nouns = list(`
  apple anchor arrow autumn badge balloon banana barrel basket beach bell bicycle bird blanket boat book bottle branch bread bridge brick brush
  bucket butter button cabin candle canyon carpet castle cat chair cheese cherry chest circle city clock cloud coat coffee coin comet copper cotton
  crane crown crystal cup curtain desert desk diamond dog door dragon dream drum eagle ear earth engine falcon farm feather fence ferry field
  fire fish flag flame flower flute forest fork fossil fountain fox frame frog fruit garden gate ghost giraffe glass glove goat gold grape grass
  guitar hammer harbor hat hawk hill honey horn horse hotel house ice iron island ivory jacket jar jewel juice jungle kettle key kite kitten
  ladder lake lamp lantern leaf lemon lens letter lion lizard lock lotus magnet mango map maple marble market mask meadow melon meteor milk
  mirror moon moss mountain mouse music needle nest night north oak ocean olive onion orange orchid otter owl paint palace panda paper parrot peach
  pearl pebble pencil pepper piano pigeon pillow pine pirate planet plate plum pocket pond potato prince pumpkin purple puzzle rabbit radio rain raven
  ribbon rice ring river robin rocket rope rose ruby sail salt sand satin scarf school sea seed shadow sheep shell ship shoe silk silver sky
  snake snow soap sofa spark spider spoon spring square star station stone storm sugar summer sun swan table tea temple tent thunder tiger
  tomato tower train tree tulip tunnel turtle umbrella valley velvet village violet violin wagon wall walnut water whale wheat wheel willow wind
  window winter wolf wood yard zebra`);
export const adjectives = list(`
  amber big black blue bold brave bright brown calm clean clever cold cool crisp dark deep dry dusty early fair fast fine flat fresh gentle golden
  grand gray green happy heavy high hollow kind large late lazy light little long loud low lucky mild modern narrow new noble old pale plain
  polite pretty proud quick quiet rapid rare red rich rough round royal sharp short shy silent simple slow small smooth soft solid sour steady
  strong sunny sweet swift tall tiny warm wet white wide wild wise yellow young`);
export const verbs = list(`
  finds sees likes keeps paints holds carries watches follows moves brings opens closes builds draws cleans sells buys loses hides lifts breaks
  leaves meets crosses passes wants needs hears counts`);
export const names = list(`
  Anna Ben Clara David Emma Felix Greta Hugo Ines Jonas Karin Leo Maria Nina Oscar Paula Quentin Rosa Simon Tina Ursula Viktor Wanda Xaver Yara Zoe
  Ada Bob Alice Carlos Dana Erik Fatima Grace Hassan Ivan Julia Kenji Lin Mehmet Nora Omar Priya Ravi Sofia Tom Uma Vera Walter Yuki Max Sam Kate
  John Mary Peter Paul Lucy Mark Laura Chris Alex Robin Sasha Mina Tariq Olga Pedro Lucia Wei Chen Aisha Noah Mia Liam Olivia Ethan Ava`);
export const botNames = list(`
  Nova Atlas Echo Luna Orion Pixel Sage Zephyr Iris Juno Cosmo Delta Ember Flint Nimbus Quill Rook Vega Willow Astra Bolt Comet Dash Otto Pip Rex
  Robo Jarvis Friday Ada Max Captain Berta Harbor Skipper Marina Neptune Coral Sandy Finn`);
export const cities = list(`
  Paris Berlin London Madrid Rome Vienna Lisbon Oslo Dublin Prague Athens Warsaw Zurich Tokyo Seoul Delhi Cairo Lagos Lima Boston Chicago Denver
  Seattle Toronto Sydney Hamburg Munich Milan Porto Helsinki Stockholm Bergen Nairobi Hanoi Mumbai Kyoto Osaka Bern Geneva Lyon Nice Ghent Krakow
  Riga Vilnius Tallinn Sofia Bucharest Budapest Istanbul Ankara Beijing Shanghai Singapore Jakarta Manila Austin Dallas Miami Atlanta`);

const onsets = list(
  'b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sh sk sl sm sn sp st str t th tr v w wh x y z',
);
const hearts = list('a e i o u ai au ea ee ie io oa oo ou y ar er or an en in on al el il');
const codas = ['', '', '', ...list('b ck d f g k l ll m mp n nd ng nk nt p r rd rk rm rn rt s sh sk ss st t th x z')];

const foreign = list(`
  café naïve über größe señor façade jalapeño Ærø smörgås Škoda żółw привет мир 你好 世界 日本 こんにちは 안녕 γειά שלום مرحبا 🚢 ⚓ 🙂 🎉 € → ½ © 🚀 ß ñ é ü ö ä ç å`);

/** A word that can be spoken, though it means nothing. */
export function spokenWord(chance: Chance): string {
  let word = '';
  const syllables = chance.between(1, 3);
  for (let i = 0; i < syllables; i += 1)
    word += chance.pick(onsets) + chance.pick(hearts) + (chance.happens(0.5) ? chance.pick(codas) : '');
  return word;
}

/** Letters that nobody would put together, with digits and signs in between now and then. */
function lettersWord(chance: Chance): string {
  const letters = chance.happens(0.7)
    ? 'abcdefghijklmnopqrstuvwxyz'
    : 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-';
  return Array.from({ length: chance.between(2, 9) }, () => chance.pick(Array.from(letters))).join('');
}

const signs = list('! ? # $ % & * + - / : ; < = > @ ^ _ ~ ( ) { } [ ] | , .');

/** Joins random pieces of the vocabulary, so that every token is copied by somebody some day. */
export type Soup = (chance: Chance) => string;

/** Words made of 1 to 4 of these tokens; what is not printable in them is left out. */
export function soupOf(tokens: readonly string[]): Soup {
  const printable = tokens
    .map((token) => token.replace(/[^\x21-\x7e]/g, ''))
    .filter((token) => token !== '' && !/["\\]/.test(token));
  return (chance) => Array.from({ length: chance.between(1, 4) }, () => chance.pick(printable)).join('');
}

/** Before there is a vocabulary there is no soup: single letters do. */
export const noSoup: Soup = lettersWord;

/** Any word at all: plain, invented, a number, capitals, signs, foreign letters. */
export function anyWord(chance: Chance, soup: Soup): string {
  const dice = chance.unit();
  if (dice < 0.3) return chance.pick(chance.pick([nouns, adjectives, verbs]));
  if (dice < 0.4) return chance.pick(chance.pick([names, cities]));
  if (dice < 0.58) return spokenWord(chance);
  if (dice < 0.82) return soup(chance);
  if (dice < 0.87) return lettersWord(chance);
  if (dice < 0.91) return String(chance.between(0, chance.pick([9, 99, 999, 99999])));
  if (dice < 0.935) return spokenWord(chance).toUpperCase();
  if (dice < 0.965) return capital(spokenWord(chance));
  if (dice < 0.98) return chance.pick(foreign);
  return chance.pick(signs);
}

/** A single word that can serve as a name or a secret: letters first, no spaces. */
export function secretWord(chance: Chance, soup: Soup): string {
  const dice = chance.unit();
  const word =
    dice < 0.3
      ? chance.pick(nouns)
      : dice < 0.65
        ? spokenWord(chance)
        : dice < 0.9
          ? soup(chance).replace(/[^\p{L}]/gu, '')
          : lettersWord(chance);
  const safe = word.length > 1 ? word : spokenWord(chance);
  if (chance.happens(0.12)) return `${safe}-${chance.between(1, 9999)}`;
  if (chance.happens(0.06)) return `${safe}-${chance.pick(nouns)}`;
  if (chance.happens(0.06)) return String(chance.between(100, 999999));
  return chance.happens(0.12) ? safe.toUpperCase() : chance.happens(0.15) ? capital(safe) : safe;
}

export const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);
