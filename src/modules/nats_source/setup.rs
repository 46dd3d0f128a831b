//! Sources as a configuration describes them.

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};

use super::{NatsSource, NatsSourceBuilder, NatsSourceError};
use crate::{AtLeastOnce, DeliveryMode, Setup, SourceSetup, Subject, SubjectKind};

impl NatsSourceBuilder {
    /// The sources that a [`Setup`](crate::Setup) describes, to be finished by what it does not say: one for all subjects of core
    /// NATS, by the name of the setup, and one for each of JetStream, `NAME:INPUT`. One of which no subject is required is
    /// [optional](NatsSourceBuilder::optional). A file of credentials is read now.
    ///
    /// A consumer that is not durable begins with what is published from now on, a durable one with all that the stream has.
    ///
    /// ```no_run
    /// # fn f() -> eventwire::Result<()> {
    /// use eventwire::nats_source::NatsSourceBuilder;
    /// use eventwire::{Io, Setup};
    ///
    /// let setup = Setup::from_json(r#"{"subjects": ["metrics.>"], "nats": "nats://127.0.0.1:4222"}"#)?;
    /// let sources = NatsSourceBuilder::from_setup(&setup)?;
    /// let io = setup.io()?;
    /// for source in sources {
    ///     io.install(source.public().build()?);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Credentials`](NatsSourceError::Credentials). What else may be wrong [`build`](NatsSourceBuilder::build) says.
    pub fn from_setup(setup: &Setup) -> Result<Vec<NatsSourceBuilder>, NatsSourceError> {
        let Setup { source: setup, delivery, .. } = setup;
        let options = options(setup)?;
        let servers = setup.servers.join(",");
        let source = |name: String, is_required: bool| {
            let source = NatsSource::builder().name(name).connect_with(&servers, options.clone());
            let source = if is_required { source } else { source.optional() };
            match delivery {
                DeliveryMode::AtLeastOnce { ack_timeout } => {
                    source.at_least_once(AtLeastOnce::default().ack_timeout(*ack_timeout))
                }
                _ => source,
            }
        };
        let mut core: Vec<&Subject> = Vec::new();
        let mut sources = Vec::new();
        for subject in &setup.subjects {
            match &subject.kind {
                SubjectKind::Core => core.push(subject),
                SubjectKind::JetStream { stream, durable } => {
                    let begin = if durable.is_some() { DeliverPolicy::All } else { DeliverPolicy::New };
                    let consumer =
                        pull::Config { durable_name: durable.clone(), deliver_policy: begin, ..Default::default() };
                    let source = source(format!("{}:{}", setup.name, subject.name), subject.required);
                    sources.push(source.subject(&subject.subject).jetstream(stream, consumer));
                }
            }
        }
        if !core.is_empty() {
            let is_required = core.iter().any(|subject| subject.required);
            let source = source(setup.name.clone(), is_required);
            sources.insert(0, source.subjects(core.into_iter().map(|subject| &subject.subject)));
        }
        Ok(sources)
    }
}

fn options(setup: &SourceSetup) -> Result<ConnectOptions, NatsSourceError> {
    let mut options = ConnectOptions::new();
    if let Some(file) = &setup.credentials {
        let read = std::fs::read_to_string(file).and_then(|text| ConnectOptions::with_credentials(&text));
        options = read.map_err(|error| NatsSourceError::Credentials(error.to_string()))?;
    }
    if let (Some(user), Some(password)) = (&setup.user, &setup.password) {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &setup.token {
        options = options.token(token.clone());
    }
    Ok(options)
}
