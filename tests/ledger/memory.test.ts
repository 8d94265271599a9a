// The ledger in memory does what a ledger does.
import { describeLedger } from './contract.ts';
import { openMemory } from './opened.ts';

describeLedger('memory', openMemory);
