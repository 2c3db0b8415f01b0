// Package chain puts a plug-in behind those of a node's network, and takes it away again.
//
// In: the folders of the container runtime (CNI). Out: the plug-in's program, and its entry at the end of the first network configuration; files change at once or not at all,
// and everything but the entry keeps its bytes. The functions on texts are pure; a Place is used from one goroutine.
package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// element is one plug-in of a list, and where it stands in the text.
type element struct {
	kind       string
	start, end int
}

var errNoList = errors.New("it has no list of plug-ins")

// elements finds the plug-ins of a network configuration.
func elements(text []byte) (all []element, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errNoList, err)
	}
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key != "plugins" {
			if err := d.Decode(new(json.RawMessage)); err != nil {
				return nil, err
			}
			continue
		}
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return nil, errors.Join(errNoList, err)
		}
		for found = true; d.More(); {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return nil, err
			}
			var p struct {
				Type string `json:"type"`
			}
			if err := json.Unmarshal(raw, &p); err != nil {
				return nil, err
			}
			end := int(d.InputOffset())
			all = append(all, element{p.Type, end - len(raw), end})
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if !found || len(all) == 0 {
		return nil, errNoList
	}
	return all, nil
}

func index(all []element, kind string) int {
	return slices.IndexFunc(all, func(e element) bool { return e.kind == kind })
}

// Insert puts an entry of a kind at the end of the list, in place of others of that kind. A text that has it there already comes back as it is.
func Insert(text []byte, kind string, entry []byte) ([]byte, error) {
	all, err := elements(text)
	if err != nil {
		return nil, err
	}
	if last := all[len(all)-1]; last.kind == kind && bytes.Equal(text[last.start:last.end], entry) && index(all, kind) == len(all)-1 {
		return text, nil
	}
	if text, err = Remove(text, kind); err != nil {
		return nil, err
	}
	if all, err = elements(text); err != nil {
		return nil, err
	}
	end := all[len(all)-1].end
	return slices.Concat(text[:end], []byte(",\n  "), entry, text[end:]), nil
}

// Remove takes every entry of a kind out of the list. A list of nothing else is a mistake.
func Remove(text []byte, kind string) ([]byte, error) {
	for {
		all, err := elements(text)
		if err != nil {
			return nil, err
		}
		i := index(all, kind)
		switch {
		case i < 0:
			return text, nil
		case len(all) == 1:
			return nil, fmt.Errorf("%s is its only plug-in", kind)
		case i == 0:
			text = slices.Concat(text[:all[0].start], text[all[1].start:])
		default:
			text = slices.Concat(text[:all[i-1].end], text[all[i].end:])
		}
	}
}

// Has says whether a text has an entry of a kind.
func Has(text []byte, kind string) bool {
	all, err := elements(text)
	return err == nil && index(all, kind) >= 0
}

// List makes a list of a configuration of one plug-in.
func List(text []byte) ([]byte, error) {
	var c struct {
		Version string `json:"cniVersion"`
		Name    string `json:"name"`
		Type    string `json:"type"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	if c.Type == "" || c.Name == "" {
		return nil, errors.New("it has no name or no type")
	}
	head, err := json.Marshal(map[string]string{"cniVersion": c.Version, "name": c.Name})
	if err != nil {
		return nil, err
	}
	return slices.Concat(head[:len(head)-1], []byte(`, "plugins": [`), bytes.TrimSpace(text), []byte("]}\n")), nil
}
