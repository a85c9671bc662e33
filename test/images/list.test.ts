import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { listImages } from "../../src/images/list.ts";
import { buildImage, dockerArchive, fileLayer, load, type TestStore, testStore } from "./support.ts";

const image = (
  name: string,
  created: string,
  more: { tags?: string[]; labels?: Record<string, string> },
) => ({
  layers: [fileLayer(name, name)],
  created,
  tags: more.tags ?? [],
  config: more.labels === undefined ? {} : { Labels: more.labels },
});
const old = image("old", "2020-01-01T00:00:00Z", {
  tags: ["team/old:1", "team/old:2"],
  labels: { kind: "a", x: "" },
});
const middle = image("middle", "2022-01-01T00:00:00Z", {
  tags: ["middle:latest"],
  labels: { kind: "b", x: "1" },
});
const nameless = image("nameless", "2023-01-01T00:00:00Z", {});
const fresh = image("fresh", new Date(Date.now() - 60_000).toISOString(), {
  tags: ["localhost:5000/fresh:v1"],
});

let store: TestStore;
beforeAll(async () => {
  store = testStore();
  await load(store, dockerArchive(old, middle, nameless, fresh));
});
afterAll(async () => await store[Symbol.asyncDispose]());

async function names(filters: Record<string, string[]>): Promise<string[][]> {
  return (await listImages(store, { filters })).map(({ RepoTags }) => RepoTags);
}

const all = [["localhost:5000/fresh:v1"], [], ["middle:latest"], ["team/old:1", "team/old:2"]];
const [freshTags = [], none = [], middleTags = [], oldTags = []] = all;

describe("images are listed newest first, and filtered", () => {
  const cases: [filters: Record<string, string[]>, expected: string[][]][] = [
    [{}, all],
    [{ dangling: ["true"] }, [none]],
    [{ dangling: ["false"] }, [freshTags, middleTags, oldTags]],
    [{ label: ["kind"] }, [middleTags, oldTags]],
    [{ label: ["kind=b"] }, [middleTags]],
    [{ label: ["kind=b", "x="] }, []],
    [{ label: ["kind=a", "x="] }, [oldTags]],
    [{ before: ["middle"] }, [oldTags]],
    [{ since: ["middle:latest"] }, [freshTags, none]],
    [{ since: ["team/old:1"], before: [buildImage(nameless).id] }, [middleTags]],
    [{ until: ["1h"] }, [none, middleTags, oldTags]],
    [{ until: ["2021-06-01"] }, [oldTags]],
    [{ until: ["1640995200"] }, [oldTags]],
    [{ reference: ["middle"] }, [middleTags]],
    [{ reference: ["*"] }, [middleTags]],
    [{ reference: ["team/*:2"] }, [["team/old:2"]]],
    [{ reference: ["*/*:v?", "m*"] }, [freshTags, middleTags]],
    [{ reference: ["team/old:[13]"] }, [["team/old:1"]]],
  ];
  test.each(cases)("%j", async (filters, expected) => {
    expect(await names(filters)).toEqual(expected);
  });

  const faults: [filters: Record<string, string[]>, message: string][] = [
    [{ nonsense: ["1"] }, "invalid filter 'nonsense'"],
    [{ dangling: ["maybe"] }, "invalid filter 'dangling=[maybe]'"],
    [{ before: ["none"] }, "No such image: none:latest"],
    [{ until: ["soon"] }, 'failed to parse value as time or duration: "soon"'],
    [{ reference: ["a["] }, "syntax error in pattern"],
  ];
  test.each(faults)("%j is refused", async (filters, message) => {
    await expect(names(filters)).rejects.toThrow(message);
  });
});
