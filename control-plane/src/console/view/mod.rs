//! View models: what each page shows, as plain values ready to be printed, and the templates that print them.
//!
//! One file per screen; `shell` has what every page has, `parts` the small things pages are made of, `path` the drawing of
//! a call's way. A view model must not know the database, HTTP, sessions or any capability: handlers fill it with values,
//! and everything a person wrote is escaped by the template. Secrets never come here; "ends in 4f2a" does.

mod account;
mod add;
mod audit;
mod catalog;
mod clients;
mod connect;
mod connected_apps;
mod connections;
mod enable;
mod error;
mod groups;
mod icons;
mod installations;
mod invitations;
mod keys;
mod landing;
mod members;
mod oauth;
mod oauth_clients;
mod overrides;
mod overview;
mod own;
mod own_import;
mod parts;
mod path;
mod profile;
mod prose;
mod security;
mod servers;
mod service_accounts;
mod settings;
mod settings_sign_in;
mod shell;
mod sign_in;
mod steps;
mod tabs;
mod update;
mod workspaces;

pub use account::{ConfirmPage, LoginPage, SignupPage, SignupSentPage, VerifyPage, VerifyState};
pub use add::AddPage;
pub use audit::{AuditFilters, AuditList, AuditPage, CallDetail, CallRow};
pub use catalog::{CatalogPage, ConnectorCard, ConnectorPage, InstalledAs, ToolGroup, ToolInfo};
pub use clients::{Client, Guide, Step};
pub use connect::{ConnectFailedPage, Connection, ProviderView};
pub use connected_apps::{ConnectedAppsPage, ConnectionRow, EndConnectionsPage};
pub use connections::{AccountsView, ConnectionsPage, OwnConnection, OwnConnectionPage};
pub use enable::{CredentialField, EnablePage, SetupHelp};
pub use error::ErrorPage;
pub use groups::{GroupMemberRow, GroupPage, GroupRow, GroupsPage};
pub use icons::{Icon, icon};
pub use installations::{
    CredentialFact, ExposureView, InstallationPage, InstallationRow, InstallationState, InstallationsPage,
    NotAnswering, ToolRow,
};
pub use invitations::{InvitationPage, InvitationRow, InvitationState, InviteForm};
pub use keys::{KeyCreatedPage, KeyForm, KeyPage, KeyRow, KeyState, KeysPage};
pub use landing::LandingPage;
pub use members::{
    FarewellPage, HandOverPage, Loss, MayChange, MemberPage, MemberRow, MembersPage, Suspended,
};
pub use oauth::{ConsentClient, ConsentConnector, ConsentPage, OauthErrorPage, Vouched};
pub use oauth_clients::{
    ClientCreatedPage, ClientNewPage, ClientPage, ClientRow, ClientRulesPage, ClientState, ClientsPage,
    PolicyChoice, RefusalRow, RefusalsPage, SecretFact,
};
pub use overrides::{ArgumentRow, HintRow, OverridePage};
pub use overview::{Checklist, Hour, OverviewPage, Shown, Totals};
pub use own::{
    DiffLine, EditorPage, Finding, LeftOutTool, LineDiff, Lint, OwnConnectorPage, OwnConnectorRow,
    OwnListPage, OwnNewPage, OwnStanding, OwnVersionPage, OwnVersionRow,
};
pub use own_import::{ImportPage, ImportRow};
pub use parts::{Access, AccessCounts, Choice, Field, Moment, Outcome, credential_id, duration, field_id};
pub use path::{CallPath, PathStep, Verdict};
pub use profile::{
    EmailChangePage, EmailLinkPage, EventRow, LinkState, PasswordPage, Pending, ProfilePage, ResetNewPage,
    ResetNewState, ResetPage, ResetSentPage, SessionRow, SessionsPage, login_method,
};
pub use prose::{Prose, prose};
pub use security::{
    AppPage, AppState, AskingWorkspace, CodesPage, NewCodesPage, PasskeyRow, RuleState, SecondFactorPage,
    SecondFactorRulePage, SecurityPage,
};
pub use servers::{
    DefinitionGroup, DefinitionRow, HeaderFields, NodeFares, PartView, ServerFacts, ServerNewPage,
    ServerPage, UsedGroup, UsedRow,
};
pub use service_accounts::{MachineClientRow, ServiceAccountPage, ServiceAccountRow, ServiceAccountsPage};
pub use settings::{AccessPage, EndpointPage, IdentityProviderRow, IdentityProvidersPage, SettingsPage};
pub use settings_sign_in::{
    DomainRow, OwnerRow, ProviderForm, ProviderState, SignInSettingsPage, TestResult,
};
pub use shell::{Flash, Focus, May, Nav, Person, Role, Shell, Tone, Workspace, WorkspaceLink};
pub use sign_in::{
    AccountSignInPage, CompanyLoginPage, IdentityRow, LeavingPage, LinkPage, LinkTicketPage, OwnerQuestion,
    ProviderButton, RequiredPage, SignInFailedPage, provider_mark,
};
pub use steps::{StepState, TestReport, TestStep};
pub use tabs::Tabs;
pub use update::{ChangedTool, ChangesView, NotedTool, UpdatePage};
pub use workspaces::{SlugAnswer, SlugState, WorkspaceNewPage, WorkspaceRow, WorkspacesPage};
