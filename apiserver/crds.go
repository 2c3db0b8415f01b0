package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"
)

//go:embed crds
var embeddedCRDs embed.FS

// hashAnnotation is written by crdgen. A definition in the store that lacks it
// was put there by a user (for example Gateway API's experimental channel) and is
// left alone; one with another hash is replaced by ours.
const hashAnnotation = "heddle.dev/crd-hash"

// definition is one CustomResourceDefinition to install.
type definition struct {
	name, hash string
	body       []byte // JSON
}

// loadDefinitions collects the sets that the flags name.
func loadDefinitions(sets, dirs []string) ([]definition, error) {
	var all []definition
	for _, set := range sets {
		files, err := fs.Glob(embeddedCRDs, "crds/"+set+".*.json")
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("this build carries no %s definitions: build it with make, which takes them from their Go module, or start it with --crds without %s", set, set)
		}
		for _, name := range files {
			body, err := embeddedCRDs.ReadFile(name)
			if err != nil {
				return nil, err
			}
			d, err := readDefinition(body)
			if err != nil {
				return nil, fmt.Errorf("embedded definition %s: %w", name, err)
			}
			all = append(all, d)
		}
	}
	for _, dir := range dirs {
		more, err := loadFolder(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// readDefinition takes only the name and hash out of the JSON: decoding all of
// it at each start would cost more than the rest of the installation.
func readDefinition(body []byte) (definition, error) {
	var head struct {
		Kind     string
		Metadata metav1.ObjectMeta
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return definition{}, err
	}
	if head.Kind != "CustomResourceDefinition" || head.Metadata.Name == "" {
		return definition{}, errors.New("not a named CustomResourceDefinition")
	}
	return definition{name: head.Metadata.Name, hash: head.Metadata.Annotations[hashAnnotation], body: body}, nil
}

// install creates the definition, or replaces old when it is an earlier one of
// ours. old is nil when there is none.
func (d definition) install(ctx context.Context, client apiextensionsclient.ApiextensionsV1Interface, old *apiextensionsv1.CustomResourceDefinition) error {
	if old == nil {
		err := client.RESTClient().Post().Resource("customresourcedefinitions").Body(d.body).Do(ctx).Error()
		if apierrors.IsAlreadyExists(err) { // another server on the same store was first
			return nil
		}
		return err
	}
	if have := old.Annotations[hashAnnotation]; have == "" || have == d.hash {
		return nil
	}
	var next apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(d.body, &next); err != nil {
		return err
	}
	next.ResourceVersion = old.ResourceVersion
	_, err := client.CustomResourceDefinitions().Update(ctx, &next, metav1.UpdateOptions{})
	return err
}

// installDefinitions installs all and waits until each can be used.
func (c *chain) installDefinitions(ctx context.Context, all []definition) error {
	if len(all) == 0 {
		return nil
	}
	jsonConfig := rest.CopyConfig(c.loopback)
	jsonConfig.ContentType, jsonConfig.AcceptContentTypes = "application/json", "application/json"
	client, err := apiextensionsclient.NewForConfig(jsonConfig)
	if err != nil {
		return err
	}
	definitions := c.custom.Informers.Apiextensions().V1().CustomResourceDefinitions()
	if !cache.WaitForCacheSync(ctx.Done(), definitions.Informer().HasSynced) {
		return ctx.Err()
	}
	const workers = 4
	work, results := make(chan definition), make(chan error, len(all))
	for range workers {
		go func() {
			for d := range work {
				old, err := definitions.Lister().Get(d.name) // nil when not found
				if err != nil && !apierrors.IsNotFound(err) {
					results <- err
					continue
				}
				if err := d.install(ctx, client, old); err != nil {
					results <- fmt.Errorf("the definition %s was refused: %w", d.name, err)
					continue
				}
				results <- nil
			}
		}()
	}
	for _, d := range all {
		work <- d
	}
	close(work)
	var failed error
	for range all {
		if err := <-results; err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return failed
	}
	return c.waitEstablished(ctx, all)
}

func (c *chain) waitEstablished(ctx context.Context, all []definition) error {
	lister := c.custom.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister()
	var waiting string
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		for _, d := range all {
			crd, err := lister.Get(d.name)
			if err != nil || !established(crd) {
				waiting = d.name
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("the definition %s was not accepted within 30 s: see `kubectl describe crd %s`", waiting, waiting)
	}
	return err
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, cond := range crd.Status.Conditions {
		if cond.Type == apiextensionsv1.Established {
			return cond.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

// loadFolder reads every YAML and JSON file of a folder, in order of name.
func loadFolder(dir string) ([]definition, error) {
	var all []definition
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json":
		default:
			return nil
		}
		docs, err := readDefinitions(name)
		all = append(all, docs...)
		return err
	})
	return all, err
}

func readDefinitions(name string) ([]definition, error) {
	text, err := readAll(name)
	if err != nil {
		return nil, err
	}
	var all []definition
	for _, doc := range strings.Split("\n"+text, "\n---") {
		body, err := yaml.YAMLToJSON([]byte(doc))
		if err == nil && string(body) == "null" {
			continue
		}
		var d definition
		if err == nil {
			body, err = stamp(body)
		}
		if err == nil {
			d, err = readDefinition(body)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, named by --crd-dirs, does not hold CustomResourceDefinitions only: %w", name, err)
		}
		all = append(all, d)
	}
	return all, nil
}
