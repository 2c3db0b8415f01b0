package main

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfigs writes the admin's file (it may be copied, so it contains
// the credentials) and heddled's (it names the credential files, so that
// client-go picks up a renewed certificate by itself).
func (p *pki) writeKubeconfigs(server, adminCopy string) error {
	ca, err := os.ReadFile(p.path("ca.crt"))
	if err != nil {
		return err
	}
	admin, err := p.adminKubeconfig(server, ca)
	if err != nil {
		return err
	}
	for _, name := range []string{p.dir.file("admin.kubeconfig"), adminCopy} {
		if name == "" {
			continue
		}
		if err := writeFile(name, admin, 0o600); err != nil {
			return err
		}
	}
	text, err := encodeKubeconfig(server, ca, heddledClient.user, &clientcmdapi.AuthInfo{
		ClientCertificate: p.path(heddledClient.file + ".crt"),
		ClientKey:         p.path(heddledClient.file + ".key"),
	})
	if err != nil {
		return err
	}
	return writeFile(p.dir.file("heddled.kubeconfig"), text, 0o600)
}

func (p *pki) adminKubeconfig(server string, ca []byte) ([]byte, error) {
	cert, err := os.ReadFile(p.path(adminClient.file + ".crt"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(p.path(adminClient.file + ".key"))
	if err != nil {
		return nil, err
	}
	return encodeKubeconfig(server, ca, adminClient.user, &clientcmdapi.AuthInfo{
		ClientCertificateData: cert, ClientKeyData: key,
	})
}

func encodeKubeconfig(server string, ca []byte, user string, auth *clientcmdapi.AuthInfo) ([]byte, error) {
	kc := clientcmdapi.NewConfig()
	kc.Clusters["heddle"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	kc.AuthInfos[user] = auth
	kc.Contexts["heddle"] = &clientcmdapi.Context{Cluster: "heddle", AuthInfo: user, Namespace: "default"}
	kc.CurrentContext = "heddle"
	text, err := clientcmd.Write(*kc)
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig of %s: %w", user, err)
	}
	return text, nil
}
