// Questions written by hand, apart from the patterns of training: how the demo model fares with a stranger.

export interface Probe {
  /** The fact asked for, or 'unknown' for what the model cannot do. */
  readonly id: string;
  readonly asks: readonly string[];
}

export const probes: readonly Probe[] = [
  {
    id: 'berth',
    asks: [
      'Berth?',
      'Hi! I just found this on our server. What is Berth?',
      'my colleague installed berth, what is it good for',
      'Explain to me in a few words what Berth does for us',
    ],
  },
  {
    id: 'slot',
    asks: [
      'What is a slot?',
      "what's a slot exactly",
      'Please explain: slot.',
      'I keep reading about slots. What are they?',
    ],
  },
  {
    id: 'gateway',
    asks: [
      'What is a gateway?',
      'what does the gateway do with my request',
      'Can we have three gateways?',
      'Explain the gateway to me like I am new',
    ],
  },
  {
    id: 'worker',
    asks: [
      'What is a worker?',
      'so what are the workers doing',
      'Who runs the models on the GPU?',
      'Could you tell me about workers?',
    ],
  },
  {
    id: 'ledger',
    asks: [
      'What is the ledger?',
      'what is that ledger thing',
      'where does berth remember who has a slot',
      'Is the ledger stored in Redis?',
    ],
  },
  {
    id: 'NUM_PARALLEL',
    asks: [
      'What does NUM_PARALLEL do?',
      'NUM_PARALLEL default value?',
      'How many requests can a worker handle at once?',
      'how can i let a worker do 8 requests in parallel',
      'How many slots does each worker have?',
    ],
  },
  {
    id: 'MAX_LOADED_MODELS',
    asks: [
      'What does MAX_LOADED_MODELS mean?',
      'How many models can be loaded at once?',
      'limit on loaded models?',
      'how do i keep five models in memory',
    ],
  },
  {
    id: 'MAX_QUEUE',
    asks: [
      'What is MAX_QUEUE?',
      'How long can the queue get?',
      'how many requests may wait',
      'what is the maximum queue size',
    ],
  },
  {
    id: 'KEEP_ALIVE',
    asks: [
      'What is KEEP_ALIVE?',
      'How long does a model stay in memory when nobody uses it?',
      'when do models get unloaded',
      'keep alive time?',
    ],
  },
  {
    id: 'MODELS_DIR',
    asks: ['What is MODELS_DIR?', 'Where do my models live?', 'which directory are the models in', 'models folder?'],
  },
  {
    id: 'load',
    asks: [
      'How do I load a real model?',
      'I want a bigger model, what do I do?',
      'how to install a new model',
      'How can I use my own GGUF?',
    ],
  },
  {
    id: 'GATEWAY_HOST',
    asks: [
      'What is GATEWAY_HOST?',
      'Which address does the gateway listen on?',
      'how do i reach the gateway from another machine',
    ],
  },
  {
    id: 'GATEWAY_PORT',
    asks: ['What is GATEWAY_PORT?', 'Which port does Berth use?', 'how do i change the port', 'default port'],
  },
  {
    id: 'REDIS_URL',
    asks: ['What is REDIS_URL?', 'Do I need Redis?', 'when is redis required', 'how do the gateways share state'],
  },
  {
    id: 'openai',
    asks: [
      'What base URL do I use for OpenAI?',
      'how do i connect the openai python client',
      'Does it work with the OpenAI SDK?',
      'openai base_url',
    ],
  },
  {
    id: 'ollama',
    asks: ['How do I connect with Ollama?', 'which address for my ollama client', 'does berth support ollama'],
  },
  { id: 'metrics', asks: ['Where are the metrics?', 'can i use prometheus', 'how do I monitor the system'] },
  {
    id: 'health',
    asks: ['How do I check that Berth is healthy?', 'is there a health endpoint', 'which url for a readiness check'],
  },
  {
    id: 'full',
    asks: [
      'What happens when the queue is full?',
      'why am i getting a 429',
      'what does 429 mean here',
      'my request got refused',
    ],
  },
  {
    id: 'death',
    asks: ['What happens if a worker dies?', 'what if a gpu worker crashes while answering', 'worker crash?'],
  },
  {
    id: 'license',
    asks: ['What is the license?', 'is berth open source', 'can we use it commercially', 'how much is berth'],
  },
  { id: 'self', asks: ['Who are you?', 'what are you', 'Are you ChatGPT?', 'what model is this', 'who made you'] },
  { id: 'abilities', asks: ['What can you do?', 'help', 'how can you help me', 'what are you able to do'] },
  { id: 'greet', asks: ['Hello', 'hi', 'Hey there!', 'Good morning', 'hello, how are you?'] },
  { id: 'thanks', asks: ['Thanks!', 'thank you so much', 'great, thanks'] },
  { id: 'bye', asks: ['Bye', 'goodbye', 'see you'] },
  {
    id: 'unknown',
    asks: [
      'What is 12 * 9?',
      'Tell me a story about a dragon.',
      'write a python function that adds two numbers',
      'What is the capital of Italy?',
      'Translate "good night" into French',
      'who won the world cup in 2014',
      'I feel sad today',
      'What is the tallest mountain?',
      'Give me a recipe for pancakes',
      'how do airplanes fly',
      'Write a haiku about autumn',
      'what is love',
      'Who was Mozart?',
      'debug my code please',
      'What should I wear tomorrow?',
      'explain quantum entanglement',
      'Is 17 prime?',
      'recommend a movie',
    ],
  },
];
