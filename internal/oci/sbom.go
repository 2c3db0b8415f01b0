package oci

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// BillOfMaterials lists what Go programs are made of, as the linker recorded it, in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/).
func BillOfMaterials(name string, programs []string) ([]byte, error) {
	var all []*buildinfo.BuildInfo
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, fmt.Errorf("read what %s is made of: %w", path.Base(program), err)
		}
		all = append(all, info)
	}
	return bill(name, all)
}

func bill(name string, programs []*buildinfo.BuildInfo) ([]byte, error) {
	type pkg struct {
		ID       string `json:"SPDXID"`
		Name     string `json:"name"`
		Version  string `json:"versionInfo,omitempty"`
		Location string `json:"downloadLocation"`
		Analyzed bool   `json:"filesAnalyzed"`
		Refs     []any  `json:"externalRefs,omitempty"`
	}
	found := map[string]pkg{}
	add := func(module, version string) {
		id := "SPDXRef-" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
				return r
			}
			return '-'
		}, module+"-"+version)
		found[module+"@"+version] = pkg{ID: id, Name: module, Version: version, Location: "NOASSERTION", Refs: []any{map[string]string{
			"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:golang/" + module + "@" + version}}}
	}
	for _, info := range programs {
		add("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
		add(info.Main.Path, info.Main.Version)
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			add(d.Path, d.Version)
		}
	}
	keys := make([]string, 0, len(found))
	for k := range found {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	document := map[string]any{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
		"documentNamespace": "https://heddle.dev/spdx/" + name,
		// The time is that of no build: the same programs give the same bytes.
		"creationInfo": map[string]any{"created": "1970-01-01T00:00:00Z", "creators": []string{"Tool: heddle"}}}
	list := make([]pkg, 0, len(keys))
	for _, k := range keys {
		list = append(list, found[k])
	}
	document["packages"] = list
	return json.MarshalIndent(document, "", " ")
}
