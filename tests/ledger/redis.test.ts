// The ledger in Redis does what a ledger does.
import { inject } from 'vitest';
import { describeLedger } from './contract.ts';
import { openRedis } from './opened.ts';

describeLedger('Redis', () => openRedis(inject('redisUrl')));
