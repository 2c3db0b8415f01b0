package kube

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/api/diagnosis"
)

// justNow is how long an API is believed to be there after an answer: the watches of an API that ends or starts do not all break or come back at once.
const justNow = time.Second

// presence notes whether an API answers, and says a change once, however many watches notice it.
type presence struct {
	client *Client
	log    *slog.Logger
	tell   func([]api.Problem) // what is wrong with the API as a whole

	mu     sync.Mutex
	away   bool
	answer time.Time       // the last one
	said   map[string]bool // what it refused, and was told
}

// unanswered says whether an error is that of an API that is away, and not its answer.
func unanswered(err error) bool {
	var status apierrors.APIStatus
	return !errors.As(err, &status) || apierrors.IsServiceUnavailable(err)
}

// Away says whether a request failed because nobody answers at the API's address, or not yet: trying again may help, unlike with an answer, or a certificate, that is wrong.
func Away(err error) bool {
	var network net.Error
	var certificate *tls.CertificateVerificationError
	return (errors.As(err, &network) || apierrors.IsServiceUnavailable(err)) && !errors.As(err, &certificate)
}

// heard takes the outcome of one request, and says whether it was an answer.
func (p *presence) heard(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || !unanswered(err) {
		p.answer = time.Now()
		if p.away {
			p.away = false
			p.tell(nil)
			p.log.Info("the " + p.client.Role.String() + " answers again")
		}
		return true
	}
	if !p.away && time.Since(p.answer) > justNow {
		p.away = true
		p.tell([]api.Problem{{Object: api.Ref{Kind: "API", Name: p.client.Host}, Code: diagnosis.CodeInvalid, Message: p.client.explain(err).Error(), Hint: "the objects last seen stay in effect"}})
		p.log.Warn("the "+p.client.Role.String()+" is away; what was last seen of it stays in effect", "host", p.client.Host, "error", err)
	}
	return false
}

// refused logs what the API does not allow, once each.
func (p *presence) refused(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := err.Error(); !p.said[text] {
		if p.said == nil {
			p.said = map[string]bool{}
		}
		p.said[text] = true
		p.log.Error("a kind cannot be watched; trying again", "error", p.client.explain(err))
	}
}
