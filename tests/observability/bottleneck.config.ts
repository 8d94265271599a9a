// Of `npm run bottleneck`: the one file that is too long for `npm test`.
import { defineConfig } from 'vitest/config';
import usual from '../../vitest.config.ts';

export default defineConfig({ test: { ...usual.test, include: ['tests/observability/bottleneck.ts'] } });
