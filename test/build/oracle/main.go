// The oracle: answers, with BuildKit's own packages, the questions that the tests ask of davit's front end.
// It reads one JSON request a line and writes one JSON answer a line.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"sort"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type request struct {
	Op        string
	Text      string
	Words     []string
	Env       []string
	Escape    string
	Raw       bool
	Heredoc   bool
	BuildArgs map[string]string
	Target    string
	Images    map[string]json.RawMessage
	Patterns  []string
	Paths     []string
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var req request
			if err := json.Unmarshal(line, &req); err != nil {
				fail(err)
			}
			if err := out.Encode(answer(req)); err != nil {
				fail(err)
			}
		}
		if err != nil {
			return
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func answer(req request) (result map[string]any) {
	defer func() {
		if p := recover(); p != nil {
			result = map[string]any{"panic": fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
	}()
	switch req.Op {
	case "parse":
		return parse(req.Text)
	case "expand":
		return expand(req)
	case "convert":
		return convert(req)
	case "ignore":
		return ignore(req)
	case "glob":
		return glob(req)
	}
	return map[string]any{"error": "unknown op " + req.Op}
}

func parse(text string) map[string]any {
	parsed, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	var warnings []string
	for _, w := range parsed.Warnings {
		warnings = append(warnings, w.Short)
	}
	result := map[string]any{"warnings": warnings, "escape": string(parsed.EscapeToken)}
	stages, args, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil {
		result["error"] = err.Error()
		return result
	}
	var dumped []any
	for _, arg := range args {
		dumped = append(dumped, dump(&arg))
	}
	for _, stage := range stages {
		dumped = append(dumped, map[string]any{
			"type": "from", "keyword": stage.OrigCmd, "image": stage.BaseName, "stage": stage.Name,
			"platform": stage.Platform, "code": stage.SourceCode, "comments": stage.Comments,
			"description": stage.DocComment, "lines": lines(stage.Location),
		})
		for _, cmd := range stage.Commands {
			dumped = append(dumped, dump(cmd))
		}
	}
	result["instructions"] = dumped
	return result
}

// dump lists the exported fields of a command, with those of RUN that are not fields.
func dump(cmd instructions.Command) map[string]any {
	value := reflect.ValueOf(cmd).Elem()
	fields := map[string]any{}
	collect(value, fields)
	fields["type"] = strings.ToLower(cmd.Name())
	fields["keyword"] = cmd.Name()
	fields["code"] = cmd.(fmt.Stringer).String()
	fields["comments"] = cmd.Comments()
	fields["lines"] = lines(cmd.Location())
	if run, ok := cmd.(*instructions.RunCommand); ok {
		fields["Network"] = instructions.GetNetwork(run)
		fields["Security"] = instructions.GetSecurity(run)
		fields["Devices"] = instructions.GetDevices(run)
		froms := []string{}
		for _, m := range instructions.GetMounts(run) {
			froms = append(froms, m.From)
		}
		fields["MountsFrom"] = froms
	}
	return fields
}

func collect(value reflect.Value, fields map[string]any) {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if field.Anonymous && field.IsExported() && field.Type.Kind() == reflect.Struct {
			collect(value.Field(i), fields)
		} else if field.IsExported() {
			fields[field.Name] = value.Field(i).Interface()
		}
	}
}

func lines(ranges []parser.Range) []int {
	if len(ranges) == 0 {
		return nil
	}
	return []int{ranges[0].Start.Line, ranges[len(ranges)-1].End.Line}
}

func expand(req request) map[string]any {
	escape := '\\'
	if req.Escape != "" {
		escape = rune(req.Escape[0])
	}
	env := shell.EnvsFromSlice(req.Env)
	var results []any
	for _, word := range req.Words {
		lex := shell.NewLex(escape)
		lex.RawQuotes = req.Raw
		lex.RawEscapes = req.Raw
		lex.SkipUnsetEnv = req.Raw
		lex.SkipProcessQuotes = req.Heredoc
		one, err := lex.ProcessWordWithMatches(word, env)
		if err != nil {
			results = append(results, map[string]any{"error": err.Error()})
			continue
		}
		results = append(results, map[string]any{
			"text": one.Result, "words": one.Words, "matched": keys(one.Matched), "unmatched": keys(one.Unmatched),
		})
	}
	return map[string]any{"results": results}
}

func keys(set map[string]struct{}) []string {
	names := []string{}
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

type resolver struct {
	images map[string]json.RawMessage
	lock   sync.Mutex
	asked  map[string]struct{}
}

func (r *resolver) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	r.lock.Lock()
	r.asked[ref] = struct{}{}
	r.lock.Unlock()
	config, ok := r.images[ref]
	if !ok {
		config = json.RawMessage(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}`)
	}
	return ref, "", config, nil
}

func convert(req request) map[string]any {
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	caps := pb.Caps.CapSet(pb.Caps.All())
	images := &resolver{images: req.Images, asked: map[string]struct{}{}}
	options := func() dockerfile2llb.ConvertOpt {
		args := map[string]string{}
		for k, v := range req.BuildArgs {
			args[k] = v
		}
		source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(req.Text))
		source.Definition = &llb.Definition{}
		return dockerfile2llb.ConvertOpt{
			Config:         dockerui.Config{BuildArgs: args, Target: req.Target},
			TargetPlatform: &platform,
			MetaResolver:   images,
			LLBCaps:        &caps,
			Warn:           func(rule, description, url, message string, at []parser.Range) {},
			SourceMap:      source,
		}
	}
	result := map[string]any{}
	built, err := dockerfile2llb.Dockerfile2LLB(context.Background(), []byte(req.Text), options())
	if err != nil {
		result["error"] = err.Error()
	} else {
		result["image"] = built.Image
		definition, err := built.State.Marshal(context.Background(), llb.Platform(platform), llb.WithCaps(caps))
		if err != nil {
			result["cannotRun"] = err.Error()
		} else {
			result["operations"] = operations(definition.Def)
		}
	}
	result["images"] = keys(images.asked)
	images.asked = map[string]struct{}{}

	found, err := dockerfile2llb.DockerfileLint(context.Background(), []byte(req.Text), options())
	if err != nil {
		result["lintError"] = err.Error()
		return result
	}
	warnings := []map[string]any{}
	for _, w := range found.Warnings {
		at := []int{}
		for _, r := range w.Location.Ranges {
			at = append(at, int(r.Start.Line))
		}
		warnings = append(warnings, map[string]any{
			"rule": w.RuleName, "description": w.Description, "url": w.URL, "detail": w.Detail, "lines": at,
		})
	}
	result["warnings"] = warnings
	if found.Error != nil {
		result["buildError"] = found.Error.Message
	}
	var text bytes.Buffer
	if err := found.PrintTo(&text, nil); err == nil {
		result["text"] = text.String()
	}
	return result
}

// operations lists what would be done: commands, copies, directories, and remote sources.
func operations(defs [][]byte) []any {
	list := []any{}
	for _, def := range defs {
		var op pb.Op
		if err := op.UnmarshalVT(def); err != nil {
			fail(err)
		}
		switch o := op.Op.(type) {
		case *pb.Op_Exec:
			list = append(list, command(o.Exec))
		case *pb.Op_File:
			list = append(list, files(o.File)...)
		case *pb.Op_Source:
			if remote := source(o.Source); remote != nil {
				list = append(list, remote)
			}
		}
	}
	return list
}

func source(op *pb.SourceOp) map[string]any {
	switch {
	case strings.HasPrefix(op.Identifier, "http"):
		return map[string]any{"url": op.Identifier, "name": op.Attrs["http.filename"], "checksum": op.Attrs["http.checksum"]}
	case strings.HasPrefix(op.Identifier, "git:"):
		_, fragment, _ := strings.Cut(op.Identifier, "#")
		return map[string]any{
			"git": op.Attrs["git.fullurl"], "fragment": fragment, "checksum": op.Attrs["git.checksum"],
			"keep": op.Attrs["git.keepgitdir"] == "true", "submodules": op.Attrs["git.skipsubmodules"] != "true",
		}
	}
	return nil
}

func command(exec *pb.ExecOp) map[string]any {
	env := []string{}
	for _, variable := range exec.Meta.Env {
		// BuildKit sets it with the agent's mount, davit when it runs.
		if !strings.HasPrefix(variable, "SSH_AUTH_SOCK=") {
			env = append(env, variable)
		}
	}
	sort.Strings(env)
	mounts := []map[string]any{}
	for _, m := range exec.Mounts {
		if m.Dest == "/" || m.Dest == "/dev/pipes/" {
			continue
		}
		one := map[string]any{"dest": m.Dest, "selector": m.Selector, "readonly": m.Readonly, "type": m.MountType.String()}
		if m.TmpfsOpt != nil {
			one["size"] = m.TmpfsOpt.Size
		}
		if m.CacheOpt != nil {
			one["cache"] = m.CacheOpt.ID
			one["sharing"] = m.CacheOpt.Sharing.String()
		}
		if m.SecretOpt != nil {
			o := m.SecretOpt
			one["secret"] = []any{o.ID, o.Optional, o.Mode, o.Uid, o.Gid}
		}
		if m.SSHOpt != nil {
			o := m.SSHOpt
			one["ssh"] = []any{o.ID, o.Optional, o.Mode, o.Uid, o.Gid}
		}
		mounts = append(mounts, one)
	}
	secrets := []string{}
	for _, s := range exec.Secretenv {
		secrets = append(secrets, fmt.Sprintf("%s=%s %v", s.Name, s.ID, s.Optional))
	}
	devices := []string{}
	for _, d := range exec.CdiDevices {
		devices = append(devices, fmt.Sprintf("%s %v", d.Name, d.Optional))
	}
	return map[string]any{
		"args": exec.Meta.Args, "env": env, "cwd": exec.Meta.Cwd, "user": exec.Meta.User,
		"network": exec.Network.String(), "security": exec.Security.String(),
		"mounts": mounts, "secrets": secrets, "devices": devices,
	}
}

func files(file *pb.FileOp) []any {
	copies := []any{}
	list := []any{}
	for _, action := range file.Actions {
		switch a := action.Action.(type) {
		case *pb.FileAction_Copy:
			c := a.Copy
			copies = append(copies, map[string]any{
				"src": c.Src, "dest": c.Dest, "owner": owner(c.Owner), "mode": c.Mode, "modeText": c.ModeStr,
				"unpack": c.AttemptUnpackDockerCompatibility, "wildcard": c.AllowWildcard,
				"include": c.IncludePatterns, "exclude": c.ExcludePatterns, "required": c.RequiredPaths,
			})
		case *pb.FileAction_Mkfile:
			list = append(list, map[string]any{"file": a.Mkfile.Path, "content": string(a.Mkfile.Data), "mode": a.Mkfile.Mode})
		case *pb.FileAction_Mkdir:
			list = append(list, map[string]any{"directory": a.Mkdir.Path, "mode": a.Mkdir.Mode, "owner": owner(a.Mkdir.Owner)})
		}
	}
	if len(copies) > 0 {
		list = append(list, map[string]any{"copies": copies})
	}
	return list
}

func owner(chown *pb.ChownOpt) []string {
	if chown == nil {
		return nil
	}
	text := func(user *pb.UserOpt) string {
		switch u := user.GetUser().(type) {
		case *pb.UserOpt_ByName:
			return u.ByName.Name
		case *pb.UserOpt_ByID:
			return fmt.Sprint(u.ByID)
		}
		return ""
	}
	return []string{text(chown.User), text(chown.Group)}
}

func ignore(req request) map[string]any {
	patterns := append([]string{}, req.Patterns...)
	if req.Text != "" {
		read, err := ignorefile.ReadAll(strings.NewReader(req.Text))
		if err != nil {
			return map[string]any{"error": err.Error()}
		}
		patterns = append(patterns, read...)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return map[string]any{"patterns": patterns, "error": err.Error()}
	}
	matches := []any{}
	for _, path := range req.Paths {
		ok, err := matcher.MatchesOrParentMatches(path)
		if err != nil {
			matches = append(matches, err.Error())
		} else {
			matches = append(matches, ok)
		}
	}
	walked := []any{}
	for _, path := range req.Paths {
		ignored, err := walk(matcher, path)
		if err != nil {
			walked = append(walked, err.Error())
		} else {
			walked = append(walked, ignored)
		}
	}
	return map[string]any{"patterns": patterns, "matches": matches, "walked": walked}
}

// walk judges a path as a walk from the top comes to it.
func walk(matcher *patternmatcher.PatternMatcher, path string) (ignored bool, err error) {
	info := patternmatcher.MatchInfo{}
	parts := strings.Split(path, "/")
	for i := range parts {
		ignored, info, err = matcher.MatchesUsingParentResults(strings.Join(parts[:i+1], "/"), info)
		if err != nil {
			return false, err
		}
	}
	return ignored, nil
}

func glob(req request) map[string]any {
	results := []any{}
	for _, pattern := range req.Patterns {
		for _, path := range req.Paths {
			ok, err := filepath.Match(pattern, path)
			if err != nil {
				results = append(results, err.Error())
			} else {
				results = append(results, ok)
			}
		}
	}
	return map[string]any{"results": results}
}
