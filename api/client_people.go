package api

import (
	"context"
)

// Whoami says whom the token stands for.
func (c *Client) Whoami(ctx context.Context) (Identity, error) {
	return get[Identity](ctx, c, path("whoami"), nil)
}

// CreatePerson makes a person. Errors: ErrConflict when the name is taken.
func (c *Client) CreatePerson(ctx context.Context, p NewPerson) (Person, error) {
	return post[Person](ctx, c, path("persons"), p)
}

// Persons lists the persons that the caller may know of.
func (c *Client) Persons(ctx context.Context) ([]Person, error) {
	list, err := get[PersonList](ctx, c, path("persons"), nil)
	return list.Persons, err
}

// Person returns one person.
func (c *Client) Person(ctx context.Context, name string) (Person, error) {
	return get[Person](ctx, c, path("persons", name), nil)
}

// DeletePerson deletes a person.
func (c *Client) DeletePerson(ctx context.Context, name string) error {
	return remove(ctx, c, path("persons", name))
}

// CreateOrganization makes an organization. Errors: ErrConflict when the name is taken.
func (c *Client) CreateOrganization(ctx context.Context, o NewOrganization) (Organization, error) {
	return post[Organization](ctx, c, path("organizations"), o)
}

// Organizations lists the organizations that the caller may know of.
func (c *Client) Organizations(ctx context.Context) ([]Organization, error) {
	list, err := get[OrganizationList](ctx, c, path("organizations"), nil)
	return list.Organizations, err
}

// Organization returns one organization.
func (c *Client) Organization(ctx context.Context, name string) (Organization, error) {
	return get[Organization](ctx, c, path("organizations", name), nil)
}

// DeleteOrganization deletes an organization.
func (c *Client) DeleteOrganization(ctx context.Context, name string) error {
	return remove(ctx, c, path("organizations", name))
}

// SetMember makes a person a member of an organization, or changes the role: admin or member.
func (c *Client) SetMember(ctx context.Context, organization, person, role string) (Member, error) {
	return put[Member](ctx, c, path("organizations", organization, "members", person), MemberRole{Role: role})
}

// Members lists an organization's members.
func (c *Client) Members(ctx context.Context, organization string) ([]Member, error) {
	list, err := get[MemberList](ctx, c, path("organizations", organization, "members"), nil)
	return list.Members, err
}

// Member returns one member of an organization.
func (c *Client) Member(ctx context.Context, organization, person string) (Member, error) {
	return get[Member](ctx, c, path("organizations", organization, "members", person), nil)
}

// DeleteMember ends a membership.
func (c *Client) DeleteMember(ctx context.Context, organization, person string) error {
	return remove(ctx, c, path("organizations", organization, "members", person))
}

// CreateProject makes a project of an organization or person.
func (c *Client) CreateProject(ctx context.Context, p NewProject) (Project, error) {
	return post[Project](ctx, c, path("projects"), p)
}

// Projects lists projects: of one owner, or with an empty owner all that the caller may know of.
func (c *Client) Projects(ctx context.Context, owner string) ([]Project, error) {
	list, err := get[ProjectList](ctx, c, path("projects"), values("owner", owner))
	return list.Projects, err
}

// Project returns one project.
func (c *Client) Project(ctx context.Context, owner, name string) (Project, error) {
	return get[Project](ctx, c, path("projects", owner, name), nil)
}

// DeleteProject deletes a project.
func (c *Client) DeleteProject(ctx context.Context, owner, name string) error {
	return remove(ctx, c, path("projects", owner, name))
}

// CreateToken makes a token; its text is in this answer and nowhere else.
func (c *Client) CreateToken(ctx context.Context, t NewToken) (CreatedToken, error) {
	return post[CreatedToken](ctx, c, path("tokens"), t)
}

// Tokens lists the tokens that the caller may see.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	list, err := get[TokenList](ctx, c, path("tokens"), nil)
	return list.Tokens, err
}

// Token returns one token, without its text.
func (c *Client) Token(ctx context.Context, id string) (Token, error) {
	return get[Token](ctx, c, path("tokens", id), nil)
}

// DeleteToken revokes a token.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	return remove(ctx, c, path("tokens", id))
}
