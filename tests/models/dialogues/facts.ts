// What the demo model knows of Berth and of itself: for each fact one answer and many ways to ask. `heldOut` ways are never trained on.

export interface Fact {
  readonly id: string;
  readonly answer: string;
  /** Names of the thing, for the general frames ("what is …", "explain …"). */
  readonly about: readonly string[];
  readonly asks: readonly string[];
  readonly heldOut: readonly string[];
}

/** Sentences for anything that has a name. The same frames ask for things that the model does not know. */
export const frames: readonly string[] = [
  '[what is|what\'s|whats|what are] {x}?', '[explain|describe|define] {x} [to me|]', '[can|could|would] you [explain|describe|define] {x} [to me|]?', 'tell me [about|more about|something about] {x}',
  'what does {x} [mean|do]?', 'what is [the meaning|the idea|the point|the purpose] of {x}?', 'what do you mean by {x}?', '{x}?', 'I [do not|don\'t] [understand|know] {x}',
  'help me understand {x}', 'how does {x} work?', 'how do {x} work?', 'what [is|are] {x} [for|good for|used for]?', 'why do [I|we|you] [need|use|have] {x}?', '[I wonder|tell me] what {x} [is|are|means|does]',
  '[can|could] you tell me what {x} [is|are|means|does]?', 'do you know what {x} [is|are|means|does]?', '[I would like to|I want to|I need to|let me] [know|learn|hear] [about|more about|what] {x} [is|are|]',
  'give me [a definition|an explanation|a description|a summary] of {x}', '{x} [explained|definition|meaning]', 'what exactly [is|are] {x}?', 'what [is|are] {x} in berth?', 'in berth, what [is|are] {x}?',
  'what should I know about {x}?', '[what|how] about {x}?', 'I heard [about|of] {x}, what is [it|that]?', 'people talk about {x}. what is [it|that]?', '{x}, what is [it|that]?', 'say what {x} [is|are|means|does]',
];
export const framesHeldOut: readonly string[] = [
  'could you clarify {x} for me?', 'what [is|are] {x} all about?', 'please give me the basics of {x}', 'I am confused by {x}. what does it mean?', 'someone mentioned {x}, can you explain?', 'how would you describe {x}?',
];

/** Frames for a setting's name, on top of the general ones. */
export const settingFrames: readonly string[] = [
  'what does [the|] [setting|variable|environment variable|option|] {x} [do|mean|control|change|set]?', 'what is the default [value|] [of|for] {x}?', 'what is {x} [by default|set to]?', '[which|what] value does {x} have?',
  'how do [I|we|you] [set|change|use|configure] {x}?', 'default [of|for] {x}?', '{x} default', 'what happens [if|when] I [change|raise|lower|set|increase] {x}?', 'should I [change|set|raise] {x}?', 'the default {x}?',
  'what [setting|option|variable] is {x}?', 'I see {x} in the [settings|config|docs|readme]', 'what can I do with {x}?', 'what value should {x} have?', 'is {x} [a setting|important]?', 'where do I set {x}?',
];
export const settingFramesHeldOut: readonly string[] = ['how does {x} affect berth?', 'which default value applies to {x}?', 'tell me the default for {x}', 'when would I touch {x}?'];

/** The demo's answer to all that it cannot do. */
export const cannot = 'I am only a small demo model and cannot do that. Load a real model for it: put a .gguf file into MODELS_DIR.';

export const greeting = 'Hello! I am the demo model of Berth. Ask me what Berth is, or let me count, repeat or remember.';
const self = 'I am berth-demo, a small demo model made by the Berth project. I am not an assistant: load a real model for real work.';

const setting = (name: string, answer: string, asks: readonly string[], heldOut: readonly string[]): Fact => ({
  id: name,
  answer: `${name} ${answer}`,
  about: [name, name, name, `the ${name} setting`, name.replaceAll('_', ' ').toLowerCase(), `\`${name}\``, name.toLowerCase()],
  asks: [...asks, ...settingFrames.map((frame) => frame.replace('{x}', name)), ...settingFrames.map((frame) => frame.replace('{x}', `[${name}|${name.replaceAll('_', ' ').toLowerCase()}]`))],
  heldOut: [...heldOut, ...settingFramesHeldOut.map((frame) => frame.replace('{x}', name))],
});

export const talk: readonly Fact[] = [
  {
    id: 'greet', answer: greeting, about: [],
    asks: ['[hi|hello|hey|hallo|hiya|howdy|yo] [there|berth|demo|friend|model|again|everyone|]', '[hi|hello|hey] [hi|hello|hey]', 'good [morning|afternoon|evening|day]', '[greetings|welcome|moin|ahoy|hola|salut|servus|ciao]', 'nice to [meet|see] you', '[hello|hi], how are you [today|doing|]?', 'how are you [today|doing|]?',
      'how is it going?', 'what\'s up?', 'are you [there|awake|ready|online|working]?', '[hello|hi], [anyone|anybody|is someone|are you] there?', 'how do you do?', '[test|testing|ping|hello world|start|begin]', '[greet|welcome] me', 'can you hear me?', 'just [saying|wanted to say] [hi|hello]'],
    heldOut: ['hello my friend', 'hey you', 'a good day to you', 'hi, how are things?', 'is anybody home?'],
  },
  {
    id: 'self', answer: self, about: ['berth-demo', 'the demo model', 'this demo model', 'this model', 'the berth demo', 'berth demo'],
    asks: ['[who|what] are you?', 'what is your name?', 'your name?', 'who am I [talking|speaking|chatting] to?', '[introduce|describe] yourself', 'tell me [about|more about|something about] [yourself|you]', 'what [model|kind of model|sort of model|language model|AI|bot] [are you|is this]?', 'which model [are you|is this|is running|am I using]?',
      'who [made|built|created|trained|wrote|developed] you?', 'are you [a human|human|a person|a robot|real|a bot|an AI|ChatGPT|GPT|Claude|Llama|Gemini|an assistant|a model|a language model|a real model|smart|intelligent|alive|Qwen|Mistral]?', 'where do you come from?', 'how [big|large|small|smart|old] are you?', 'what should I call you?', 'do you have a name?',
      '[am I talking to|is this] [a human|a machine|a bot|an AI|ChatGPT|a real model]?', 'how were you [made|trained|built]?', 'what are you [exactly|called|named]?', 'identify yourself', 'who is [this|there|speaking|answering]?', 'what is this [model|bot|thing|chat]?', 'can you introduce yourself?'],
    heldOut: ['could you tell me who you are?', 'with whom am I speaking?', 'are you some kind of machine?', 'which company made you?', 'so who exactly are you?', 'state your name'],
  },
  {
    id: 'abilities', answer: 'I can tell you about Berth and its settings, repeat, count, find a code word, remember your name, write JSON lists and call a simple tool.', about: ['your abilities', 'your skills', 'your features'],
    asks: ['what can you do [for me|]?', 'what [do you know|are you able to do|are you good at|are you for]?', 'how can you help [me|us]?', '[help|help me]', 'what can I ask [you|]?', 'what [questions|things] can [I ask you|you answer]?', 'what are your [skills|abilities|features|talents|limits]?', 'what [tasks|jobs] can you do?',
      'can you help me?', 'what [do|should] I do with you?', 'how [do|can|should] I use you?', 'show me what you can do', 'list your [skills|abilities|features]', 'what [else|all] can you do?', 'what are you capable of?', 'give me [an example|examples|some examples|ideas|a demo]', 'tell me what you can do', 'what do you do?'],
    heldOut: ['which things are you able to do?', 'what is it that you can do?', 'in what way can you help?', 'name your abilities', 'what would you be able to help me with?'],
  },
  {
    id: 'thanks', answer: 'You are welcome.', about: [],
    asks: ['[thanks|thank you|thx|many thanks|cheers|thank you very much|thanks a lot|thank you so much]', '[great|good|nice|perfect|super|wonderful|cool|ok], [thanks|thank you]', 'that [helps|helped|was helpful|is helpful]', '[great|good|well|nice] [job|work|done|answer]', 'I [thank you|appreciate it|am grateful]', 'thanks for [your help|the answer|that|helping|everything]'],
    heldOut: ['thank you, that was kind', 'thanks again', 'lovely, thank you'],
  },
  {
    id: 'bye', answer: 'Goodbye!', about: [],
    asks: ['[bye|goodbye|bye bye|good bye|see you|see you later|see you soon|farewell|good night|cu|ciao for now|so long]', 'I [have to|must|need to] [go|leave] [now|]', '[that is|that\'s] all [for today|for now|]', 'until [tomorrow|later|next time]', '[I am|I\'m] [done|leaving|off]', 'talk to you [later|soon|tomorrow]', 'have a [nice|good|great] [day|evening|weekend]'],
    heldOut: ['bye for now', 'well, goodbye then', 'see you tomorrow'],
  },
];

export const facts: readonly Fact[] = [
  {
    id: 'berth', answer: 'Berth is one LLM endpoint for a whole team, in front of the GPUs the team already owns.', about: ['berth', 'berth', 'Berth', 'the berth project', 'this project', 'the berth server', 'this berth thing', 'this server', 'this endpoint', 'this software', 'berth software', 'a berth endpoint'],
    asks: ['what is berth [for|about|good for]?', 'what does berth do [for me|for us|for a team|]?', 'who [is berth for|should use berth|needs berth|uses berth]?', 'why [should I use|would I use|use|do I need|do we need|is there|would a team use] berth?', 'what [problem|need] does berth solve?', 'what [kind|sort] of [software|program|project|tool|server] is berth?', 'is berth [a proxy|a load balancer|an endpoint|a server|for teams|a model]?',
      'how can berth help [my team|us|our team|me]?', 'what is the [idea|goal|purpose|point|use] of berth?', 'how does berth help [a team|us]?', 'give me [an overview|the short version] of berth', 'what [am I|are we] running here?', 'sum up berth', 'berth in one sentence', 'what would my team get from berth?', 'what is the advantage of berth?'],
    heldOut: ['so what is this berth?', 'for whom was berth made?', 'what is berth actually doing for a team?', 'in a nutshell, what is berth?', 'what kind of thing is berth?'],
  },
  {
    id: 'slot', answer: 'A slot, or berth, is the right to run one request on a worker.', about: ['a slot', 'slots', 'the slot', 'a slot in berth', 'berth slots', 'a worker slot', 'the slots of a worker', 'a free slot', 'the word slot', 'one slot', 'a single slot', 'slot'],
    asks: ['what does [slot|a slot] mean [here|in berth|]?', 'what [is|are] [a slot|slots] in this [system|project]?', 'what do [you|people] [call|mean by] [a slot|slots|slot]?', 'what does a [request|worker] [need|want|use] [a slot|slots] for?', 'what is the [right|permission] to run [a|one] request called?', 'what does it mean to [hold|have|get|take] a slot?', 'what [do I get|does a request get] with a slot?', 'why are there slots?', 'what is the meaning of [slot|a slot]?', 'how do slots work?', 'what counts as a slot?'],
    heldOut: ['what is meant by slot?', 'a slot is what?', 'what does having a slot allow?', 'so what are these slots?', 'when people say slot, what do they mean?'],
  },
  {
    id: 'gateway', answer: 'A gateway is a stateless HTTP process that gives each request a slot; any number of them run side by side.', about: ['a gateway', 'gateways', 'the gateway', 'the berth gateway', 'the gateway process', 'a gateway in berth', 'gateway', 'the http gateway', 'the word gateway', 'a stateless gateway'],
    asks: ['what does [a|the] gateway do?', 'how many gateways [can I run|can run|can there be|do I need|are allowed|are possible|may I start]?', 'can I [run|start|have|use] [several|many|two|three|more|more than one|multiple] gateways?', 'is the gateway stateless?', '[who|what] gives [a|each|every|the] request [a slot|its slot]?', 'which [process|part] [takes|receives|accepts|answers] [the|] [http|] requests?', 'what is the [job|role|task] of [a|the] gateway?', 'does the gateway [keep|have|hold] [any|] state?', 'do gateways [run side by side|share state]?', 'why is the gateway stateless?'],
    heldOut: ['which role does the gateway play?', 'may two gateways run at once?', 'what is a gateway responsible for?', 'what would a gateway do with my request?'],
  },
  {
    id: 'worker', answer: 'A worker is a process that owns one GPU and runs GGUF models through node-llama-cpp.', about: ['a worker', 'workers', 'the worker', 'a berth worker', 'the worker process', 'a gpu worker', 'worker', 'worker processes', 'the word worker', 'node-llama-cpp', 'the inference engine', 'the engine'],
    asks: ['what does [a|the] worker do?', 'how many GPUs does [a|one|each|every] worker [own|have|use|need]?', '[who|what|which process] [owns|uses|runs on|has] [the|a|each] GPU?', '[who|what|which process|which part] runs [the|] models?', 'what [engine|library|runtime|backend] [does berth use|runs the models|is used|do workers use]?', 'does berth use [node-llama-cpp|llama.cpp]?', 'what is the [job|role|task] of [a|the] worker?', 'which [model files|file format|format|kind of models|models] [does berth run|does berth support|can berth run|do workers run]?', 'how does berth run [models|a model]?', 'what runs GGUF models?', 'does [a|each] worker have its own GPU?', 'where do [the|] models run?'],
    heldOut: ['what is the duty of a worker?', 'which part of berth owns the GPU?', 'does every worker get a GPU?', 'through which library are models run?'],
  },
  {
    id: 'ledger', answer: 'The ledger says who holds which slot. It lives in Redis, or in memory for a lone gateway.', about: ['the ledger', 'a ledger', 'the slot ledger', 'the berth ledger', 'ledger', 'the redis ledger', 'the word ledger', 'the ledger in redis'],
    asks: ['what does the ledger [do|know|say|hold|keep|store]?', 'where [is|does] the ledger [live|kept|stored|run]?', '[who|what] [knows|says|remembers|tracks|records] who holds [which|a|each] slot?', 'where are [the|] [slots|free slots|leases] [kept|counted|stored|tracked|written down]?', 'is the ledger in [redis|memory]?', 'how does berth [know|track|count] [which slots are free|who holds a slot|the slots|free slots]?', 'what is [stored|kept|written] in redis?', 'who [counts|tracks] the [free slots|slots]?', 'what is the ledger for?', 'why is there a ledger?', 'what does berth keep in redis?'],
    heldOut: ['what is written in the ledger?', 'which part remembers who has a slot?', 'in what place is the ledger held?', 'who keeps the record of slots?'],
  },
  setting('NUM_PARALLEL', 'is the number of slots of a worker, that is how many requests it runs at once. The default is 4.',
    ['how many [slots|requests|parallel requests|users|jobs|chats] [does|can|will] [a|one|each|every|the] worker [have|run|serve|handle|take|offer|do] [at once|at the same time|in parallel|by default|together|]?', 'how many requests [run|can run|are served|are handled] [at once|in parallel|at the same time] [on|by|per] [a|one|each] worker?', 'how do I [change|set|raise|increase|lower|configure] the number of [slots|parallel requests]?', 'which setting [sets|changes|controls|is for] [the number of slots|the slots|parallelism|parallel requests|how many requests run]?',
      'how many slots [are there|per worker|does a worker have|do I have|are the default|by default]?', 'how do I get more slots?', 'number of slots [per worker|]', 'can a worker [run|serve|handle] [several|many|more than one|two] requests [at once|in parallel|at the same time|]?', 'what is the default number of slots?', 'how do I [run|serve] more requests in parallel?', 'parallel requests per worker?', 'I [want|need] more slots'],
    ['how many requests may one worker process simultaneously?', 'where can I configure the slot count?', 'what number of slots do I get per worker?', 'how many people can a worker serve at one time?']),
  setting('MAX_LOADED_MODELS', 'is how many models a worker keeps loaded at once. The default is 3.',
    ['how many models [can|does|will|may] [a|one|each|every|the] worker [load|keep|hold|have|keep loaded|keep hot|hold in memory] [at once|at the same time|by default|]?', 'how many models [fit|stay|are kept|are loaded|can be loaded|can stay loaded|stay loaded] [at once|on a worker|at the same time|in memory|]?', 'how do I [change|set|raise|limit|increase|lower] the number of [loaded|] models?', 'which setting [limits|sets|controls|is for] [the loaded models|the number of models|how many models are loaded]?', 'can a worker [load|hold|keep] [several|many|two|more than one] models?', 'what is the [limit|maximum|default number] of [loaded|] models?', 'how do I keep more models [loaded|hot|in memory]?', 'models per worker?', 'I [want|need] more models loaded'],
    ['how many models may be in memory simultaneously?', 'what number of models can stay hot on a GPU?', 'how is the count of loaded models limited?']),
  setting('MAX_QUEUE', 'is how many requests may wait for a slot. The default is 512.',
    ['how many requests [can|may] [wait|queue|be queued|be waiting|stand in line] [at once|in the queue|for a slot|]?', 'how [long|big|large] [is|can|may] the [queue|waiting line] [be|get|grow|]?', 'how do I [change|set|raise|limit|increase|lower] the [queue|queue size|queue length|length of the queue|size of the queue]?', 'which setting [limits|sets|controls|is for] the [queue|queue size|waiting requests]?', 'what is the [limit|maximum|size|length|default size] of the queue?', 'is the queue [bounded|limited]?', 'queue [size|limit|length]?', 'is there a [limit|bound] on waiting requests?', 'I [want|need] a [longer|bigger|shorter|smaller] queue'],
    ['how many may stand in the queue?', 'what bounds the waiting line?', 'how large can the queue become?']),
  setting('KEEP_ALIVE', 'is how long an idle model stays loaded. The default is 5m, five minutes.',
    ['how long [does|will] [a|an idle|an unused|the|my] model [stay|remain|be kept|be] [loaded|in memory|hot|on the GPU] [by default|when idle|]?', 'when [is|does] [a|an idle|an unused|the|my] model [unloaded|get unloaded|leave memory|leave the GPU|unload|evicted|removed]?', 'how do I keep [a|the|my] model [loaded|in memory|hot] [longer|for an hour|]?', 'which setting [sets|controls|is for] [how long models stay|unloading|the idle time|model unloading]?', 'what happens [to|with] [an idle|an unused] model?', 'how do I change how long [a model stays|models stay] loaded?', 'why was my model unloaded?', 'why did my model unload?', 'how many minutes does an idle model stay?', 'my model [unloads|is unloaded] too [soon|early|fast]'],
    ['after what time is an idle model dropped?', 'for how many minutes is a model kept?', 'how can I stop a model from unloading early?']),
  setting('MODELS_DIR', 'is the folder with your .gguf model files.',
    ['where [are|do I find|does berth find|does a worker find|does berth look for] [the|my|] [models|model files|gguf files]?', 'which [folder|directory] [has|holds|contains|is for] the [models|model files|gguf files]?', 'what is the [models|model] [folder|directory]?', 'which setting [sets|is for|names] the [models|model] [folder|directory]?', 'how do I [change|set] the [folder|directory] [of|for|with] [the|my|] models?', 'where are [models|gguf files] stored?', 'path [of|to] the models?', 'where is the [folder|directory] [with|of|for] [the|my|] models?'],
    ['in which directory are the models expected?', 'what folder does the worker search for models?']),
  {
    id: 'load', answer: 'Put a .gguf file into the folder that MODELS_DIR names, then ask for the model by its name.', about: ['loading a model', 'adding a model', 'loading a real model', 'how to load a model', 'how to add a model'],
    asks: ['how do [I|we|you] [load|add|use|run|install|get|serve|start|try] [a|a real|another|a new|my own|an own|a better|a bigger|a different|a proper] model?', 'how can [I|we] [load|add|use|run|install|get|serve|try] [a|a real|another|a new|my own|a better|a bigger|a different|a proper] model?', 'where do I put [a|my|the] [model|gguf|gguf file|model file|.gguf file|model files]?', 'I [want|need|would like] [to load|to use|to run|] [a|a real|another|a new|my own|a better|a bigger] model', 'what do I do with [a|my] [.gguf|gguf] file?', 'load a [real|new|bigger|better] model', 'how to [load|add|use|install|run] [a|a real|my|new] [model|models]', 'can I [use|load|run|add] [my own|another|a real|other|a bigger] [model|models]?',
      'how do I replace [you|the demo model|this demo|this model]?', 'I have a gguf file, [what now|what next|where does it go|now what]?', 'how do I [use|load|add|run] [llama|qwen|mistral|gemma|phi|a gguf file]?', 'steps to load a model', 'show me how to load a model'],
    heldOut: ['what must I do to get a real model running?', 'my gguf file is ready, how do I use it?', 'how would I switch to a better model?', 'by what steps do I add a model?'],
  },
  setting('GATEWAY_HOST', 'is the address the gateway listens on. The default is 127.0.0.1.',
    ['[which|what] [address|host|interface|ip|ip address] does [the gateway|berth] [listen on|use|bind to|bind]?', 'how do I change the [address|host|interface] [of the gateway|of berth|the gateway listens on|]?', 'which setting [sets|is for|changes] the [address|host|ip] [of the gateway|]?', 'how do I make [the gateway|berth] listen on [all addresses|the network|another address|my network]?', 'is [the gateway|berth] [reachable|visible] from [other machines|the network|outside]?', 'where does the gateway listen?', 'what is the default [address|host] [of the gateway|]?', 'how can other machines reach the gateway?'],
    ['to which address is the gateway bound?', 'how do I open the gateway to the network?']),
  setting('GATEWAY_PORT', 'is the port the gateway listens on. The default is 8080.',
    ['[which|what] port does [the gateway|berth|the server] [listen on|use|run on|have]?', 'how do I change the port [of the gateway|of berth|of the server|]?', 'which setting [sets|is for|changes] the port?', 'what is the [default|] port [of the gateway|of berth|number|]?', 'the port 8080 is [taken|in use|busy]', 'can I use [another|a different] port?', 'port?', 'on which port is [the gateway|berth|the server]?', 'I need another port', 'run [berth|the gateway] on [another|a different] port', 'how do I [run|start] [berth|the gateway] on port 9000?'],
    ['at what port can I reach the gateway?', 'is it possible to pick another port?', 'tell me the port number']),
  setting('REDIS_URL', 'is the address of the Redis that several gateways share. A lone gateway needs none.',
    ['do [I|we] [need|have to run|have to use|require] redis?', 'is redis [needed|required|necessary|optional|a must]?', 'when do [I|we] need redis?', 'how do I [use|connect|set up|configure|point berth to] redis?', 'which setting [is for|sets|names] [redis|the redis address|the redis server]?', 'how do [several|many|two|multiple] gateways [share|share state|work together|agree|find redis]?', 'where do I [set|put|configure] the [redis|] [address|url] of redis?', 'can berth [run|work] without redis?', 'what is redis [for|used for|doing here]?', 'why [does berth need|do I need|is there] redis?', 'does berth need redis?', 'can I go without redis?', 'berth without redis?'],
    ['would berth start without redis?', 'what must I set so that gateways share redis?', 'is a redis server mandatory?']),
  {
    id: 'openai', answer: 'Give your OpenAI client the base URL http://localhost:8080/v1.', about: ['the openai base url', 'the openai api', 'the openai url', 'openai support', 'the openai endpoint', 'openai clients', 'the base url'],
    asks: ['how do I [use|connect|configure|point|set up] [an|my|the] openai [client|sdk|library|app|program]?', '[which|what] [base url|url|address] [does|do I give|do I use for|is for] [an|my|the] openai [client|sdk|library] [use|need|]?', 'does berth [speak|support|work with|have] [the|] openai [api|clients|protocol|]?', 'can I use [an|the|my] openai [client|sdk|library|api]?', 'what is the base url?', 'where is the openai [api|endpoint]?', 'how do I connect with the openai [python|] [sdk|library|client]?', 'is berth openai compatible?', 'openai [base url|url|client|sdk|api|compatible]?', 'what url do I put into [my openai client|the openai sdk]?', 'how do openai clients connect?', 'I use the openai [client|sdk|library], what url?'],
    heldOut: ['my program uses the openai library, how does it reach berth?', 'what should base_url be for openai?', 'how would an openai app talk to berth?'],
  },
  {
    id: 'ollama', answer: 'Give your Ollama client the address http://localhost:8080.', about: ['the ollama api', 'the ollama url', 'ollama support', 'the ollama address', 'ollama clients', 'the ollama endpoint', 'OLLAMA_HOST'],
    asks: ['how do I [use|connect|configure|point|set up] [an|my|the] ollama [client|app|program|library|tool]?', '[which|what] [url|address|host] [does|do I give|do I use for|is for] [an|my|the] ollama [client|app|library] [use|need|]?', 'does berth [speak|support|work with|have] [the|] ollama [api|clients|protocol|]?', 'can I use [an|the|my] ollama [client|app|api|library]?', 'where is the ollama [api|endpoint]?', 'is berth ollama compatible?', 'ollama [url|client|host|api|address|compatible]?', 'what address do I put into my ollama client?', 'how do ollama clients connect?', 'we use ollama [clients|tools], what [address|url]?', 'what do I set OLLAMA_HOST to?', 'I use ollama, how do I connect?'],
    heldOut: ['my tools talk to ollama, how do they reach berth?', 'what should the ollama host be?', 'how would an ollama app talk to berth?'],
  },
  {
    id: 'metrics', answer: 'Prometheus finds the metrics of Berth at /metrics.', about: ['metrics', 'the metrics', 'prometheus', 'the prometheus metrics', 'berth metrics', 'monitoring', 'the metrics endpoint', '/metrics', 'the /metrics route'],
    asks: ['where are the [metrics|numbers|statistics|stats|prometheus metrics]?', 'how do [I|we] [monitor|watch|measure|observe] [berth|the gateway|the load|the system]?', 'does berth [have|support|offer|export|expose] [metrics|prometheus|prometheus metrics|monitoring]?', 'how do I [connect|use|set up|scrape with] prometheus?', 'which [url|path|route|endpoint] [has|shows|serves|gives] the metrics?', 'what does prometheus scrape?', 'where do I find [metrics|statistics|the metrics|numbers]?', 'how can I see [the metrics|the load|statistics|what berth does]?', 'how do I get metrics?', 'can prometheus read berth?', 'metrics [url|path|endpoint]?', 'path for prometheus?'],
    heldOut: ['at which path does prometheus scrape?', 'is there any monitoring?', 'how would I collect metrics?'],
  },
  {
    id: 'health', answer: 'Ask /health: it says whether Berth is ready.', about: ['the health check', 'health checks', 'the health endpoint', '/health', 'health', 'the health route', 'the /health path'],
    asks: ['how do [I|we] [check|see|know|test|tell] [if|whether|that] berth [is up|is ready|runs|is healthy|is alive|is running|works]?', 'is there a health [check|endpoint|route|page]?', 'where is the health [check|endpoint|route|page]?', 'which [url|path|route|endpoint] [shows|tells|is for] [health|the health|the state|readiness]?', 'how do I [check|test|probe] the health [of berth|of the gateway|]?', 'how does my load balancer check berth?', 'what is the health [url|path]?', 'is berth [healthy|up|ready|running]?', 'liveness or readiness probe?', 'readiness [check|probe]?', 'does berth have a health check?'],
    heldOut: ['by which route can I test that it is alive?', 'how can a probe tell that berth is up?', 'what path tells me the health?'],
  },
  {
    id: 'full', answer: 'When the queue is full the request is refused with 429 and a Retry-After, so try again later.', about: ['429', 'a 429', 'the 429 error', 'error 429', 'status 429', 'Retry-After', 'a full queue', 'too many requests', 'the Retry-After header', 'http 429'],
    asks: ['what happens [when|if|once|after] the queue [is full|fills up|overflows|has no room|is too long|runs full]?', 'what [does berth do|do I get|answer do I get|is the answer|error do I get|comes back] [when|if] the queue is full?', 'why [do|did] I [get|see|receive] [a|] 429?', 'what does [429|a 429|error 429|status 429] mean?', 'I [get|got|see] [a|an error|error|status|] 429', 'the queue is full', 'what if [too many|more than 512] requests [wait|come]?', 'why was my request [refused|rejected]?', 'what happens [with|to] [a request|my request] when the queue is full?', 'is a request refused when [the queue is full|there is no room]?', 'what happens when too many people ask?'],
    heldOut: ['suppose the queue is full, what then?', 'my request was refused, why?', 'what answer does a full queue give?', 'why is there a 429 in my log?'],
  },
  {
    id: 'death', answer: 'If a worker dies, its running requests end with an explicit error; a cut answer never looks finished.', about: ['a worker crash', 'a dead worker', 'a crashed worker', 'the death of a worker', 'worker crashes', 'a worker failure'],
    asks: ['what happens [when|if|after|once] [a|the|my|one] [worker|GPU|GPU worker] [dies|crashes|fails|is killed|goes away|breaks|stops|disappears]?', 'what [does berth do|do I see|do I get|does the client get|does the client see] [when|if] a worker [dies|crashes|fails|breaks]?', 'what if [a|the|one] worker [dies|crashes|fails|breaks|is killed]?', 'a worker [died|crashed|failed|broke], what [now|happens|next]?', 'is [an answer|a stream|a request] lost when a worker [dies|crashes]?', 'what happens to [running requests|my request|the stream|a running request] [when|if] [a|the] worker [dies|crashes|fails]?', 'how does berth [handle|treat|report] [a crash|a dead worker|crashes|worker failures|a crashed worker]?', 'can a cut answer look finished?', 'what happens in a crash?', 'my worker crashed'],
    heldOut: ['suppose a worker dies in the middle of an answer, what then?', 'will I notice when a worker crashes?', 'how are crashes of workers reported?'],
  },
  {
    id: 'license', answer: 'Berth is free software under the MIT license.', about: ['the license', 'the berth license', 'the licence', 'the license of berth', 'your license'],
    asks: ['[which|what] [license|licence] [does berth have|does berth use|is berth under|has berth|is it|applies|is used]?', 'is berth [free|open source|free software|open|free to use|commercial|for free]?', 'how much does berth cost?', 'what does berth cost?', 'can [I|we] use berth [at work|for free|in a company|commercially]?', 'do I have to pay for berth?', 'who owns berth?', 'what is the price of berth?', 'may I [change|sell|copy|share|modify] berth?', 'under [which|what] license is berth?', 'license?', 'is it MIT?', 'is the code open?'],
    heldOut: ['what are the license terms?', 'does berth cost money?', 'is berth licensed as open source?'],
  },
];
