package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/control/token"
)

// Tokens reviews service account tokens with the API's TokenReview. A token must be for Heddle's or Istio's audience: one that was meant for the API
// itself must not be usable by whoever it is shown to.
func (c *Client) Tokens() token.Reviewer { return reviewer{c} }

type reviewer struct{ client *Client }

// Review asks the API.
func (r reviewer) Review(ctx context.Context, secret string) (token.Claims, error) {
	if strings.Count(secret, ".") != 2 { // not a JSON web token, so not one of the API's: it is not shown around
		return token.Claims{}, token.ErrUnknown
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: secret, Audiences: []string{token.Audience, token.IstioAudience}}}
	got, err := r.client.reviews.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return token.Claims{}, fmt.Errorf("review the token: %w", r.client.explain(err))
	}
	if !got.Status.Authenticated {
		if got.Status.Error != "" {
			return token.Claims{}, errors.New("the Kubernetes API does not accept the token: " + got.Status.Error)
		}
		return token.Claims{}, token.ErrUnknown
	}
	rest, ok := strings.CutPrefix(got.Status.User.Username, "system:serviceaccount:")
	ns, account, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || ns == "" || account == "" {
		return token.Claims{}, fmt.Errorf("the token is that of %s, not of a service account", got.Status.User.Username)
	}
	return token.Claims{Namespace: ns, ServiceAccount: account, Audience: token.Audience}, nil
}
