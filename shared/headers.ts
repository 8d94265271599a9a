// Names of the headers between gateway and worker. They never reach a client and are never taken from one.
export const leaseHeader = 'berth-lease';
export const epochHeader = 'berth-epoch';
export const modelHeader = 'berth-model';
export const ownerHeader = 'berth-owner';
/** Most output tokens of each answer that the key may have; 0 = as many as the client asks for. */
export const outputMaxHeader = 'berth-output-max';
/** `1` = no other request may use the model on the worker while this one does. */
export const aloneHeader = 'berth-alone';
/** On a reply, and told to the client: which of the worker's slots ran it, from 0. */
export const slotHeader = 'berth-slot';
export const timeHeader = 'berth-time';
export const signatureHeader = 'berth-signature';

/** On a worker's reply: why a request did not start. Its presence is the proof that nothing ran. */
export const notStartedHeader = 'berth-not-started';
export type NotStarted = 'busy' | 'stale' | 'draining';

/** On a worker's reply that is not a 200: the refusal (`encodeRefusal`), from which the gateway writes its own reply. */
export const refusalHeader = 'berth-refusal';
