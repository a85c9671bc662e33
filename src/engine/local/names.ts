/** Names: those that people may give, and those we make up for containers that got none. */
import { InvalidParameter } from "../../core/errors.ts";

const allowed = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Takes a name as given, with or without its leading slash. @throws InvalidParameter in Docker's words. */
export function parseContainerName(name: string): string {
  if (!allowed.test(name)) {
    throw new InvalidParameter(
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  }
  return name.replace(/^\//, "");
}

const adjectives = (
  "able agile amber ample arctic autumn azure bold brave breezy bright brisk calm candid clever cobalt cosy crisp " +
  "curious daring dapper deft eager early earnest easy elated epic fair fearless fleet fond frank fresh gentle glad " +
  "golden grand hardy hasty hearty honest humble icy jolly jovial keen kind late lively loyal lucid lucky mellow " +
  "merry mighty mild misty modest neat nimble noble patient placid plucky polite proud quick quiet rapid ready " +
  "robust rosy sage sharp silent silver sleek smart snug solid spry stable steady stoic sturdy sunny swift tidy " +
  "tranquil trusty upbeat vivid warm wise witty young zesty"
).split(" ");

/** Rivers, as they carry things from one place to another. */
const nouns = (
  "aare adda adige aire allier amazon amur aras arno avon benue bug cher clyde colne congo danube dart dee dnieper " +
  "don dordogne douro drau drava drina ebro elbe ems euphrates exe fulda gambia ganges garonne gila havel hudson " +
  "indus inn irtysh isar isere isonzo jordan kama kura lahn lea lena limpopo loire lot main marne mekong mersey " +
  "meuse minho moselle mur murray narva neckar neisse nile niger oder ohio oise oka onega orinoco orne parana pecos " +
  "piave po prut rhine rhone rio ruhr saale saar save seine severn shannon sio soca spey spree tagus tay test thames " +
  "tiber ticino tigris tisza trent tweed tyne ural vardar vistula volga volta warta weser wye yukon zambezi"
).split(" ");

function pick(words: readonly string[]): string {
  return words[Math.floor(Math.random() * words.length)] ?? "davit";
}

/** `swift_elbe`; with a digit behind it once `taken` has said no a few times. */
export function makeUpName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt += 1) {
    const name = `${pick(adjectives)}_${pick(nouns)}${attempt < 3 ? "" : Math.floor(Math.random() * 10 ** (attempt - 2))}`;
    if (!taken(name)) return name;
  }
}
