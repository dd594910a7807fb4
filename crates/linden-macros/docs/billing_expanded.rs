impl Billing {
    /// Takes `amount` from the account.
    pub async fn pay(
        &mut self,
        user_id: UserId,
        amount: Cents,
    ) -> Result<Cents, Empty> {
        let balance = self.ledger.entry(user_id).or_default();
        *balance = balance.checked_sub(amount).ok_or(Empty)?;
        Ok(*balance)
    }

    pub fn balance(&self, user_id: UserId) -> Cents {
        self.ledger.get(&user_id).copied().unwrap_or_default()
    }

    pub fn next_note(&mut self, reply: Reply<String>) {
        self.waiting.push(reply);
    }

    pub fn note(&mut self, line: String, cx: &mut Context<Self>) {
        for reply in self.waiting.drain(..) {
            reply.send(line.clone());
        }
        cx.set_timeout(Duration::from_secs(60));
    }

    fn idle(&mut self) {
        self.waiting.clear();
    }
}

/// The messages of `Billing`.
#[allow(missing_docs, rustdoc::broken_intra_doc_links)]
pub enum BillingMsg {
    /// Takes `amount` from the account.
    Pay {
        user_id: UserId,
        amount: Cents,
        reply: ::linden::Reply<Result<Cents, Empty>>,
    },
    Balance {
        user_id: UserId,
        reply: ::linden::Reply<Cents>,
    },
    NextNote {
        reply: ::linden::Reply<String>,
    },
    Note {
        line: String,
    },
}

impl ::linden::Message for BillingMsg {
    fn name(&self) -> &'static str {
        match *self {
            BillingMsg::Pay { .. } => "pay",
            BillingMsg::Balance { .. } => "balance",
            BillingMsg::NextNote { .. } => "next_note",
            BillingMsg::Note { .. } => "note",
        }
    }
}

impl ::linden::GenServer for Billing {
    type Msg = BillingMsg;
    type Client = BillingClient;
    const NAME: ::std::option::Option<&'static str> =
        ::std::option::Option::Some("billing_service");
    fn handle<'a>(
        &'a mut self,
        msg: Self::Msg,
        cx: &'a mut ::linden::Context<Self>,
    ) -> ::linden::Handled<'a> {
        match msg {
            BillingMsg::Pay { user_id, amount, reply } => {
                ::linden::Handled::future(async move {
                    let answer = Self::pay(self, user_id, amount).await;
                    reply.send(answer);
                })
            }
            BillingMsg::Balance { user_id, reply } => {
                reply.send(Self::balance(self, user_id));
                ::linden::Handled::done()
            }
            BillingMsg::NextNote { reply } => {
                Self::next_note(self, reply);
                ::linden::Handled::done()
            }
            BillingMsg::Note { line } => {
                Self::note(self, line, cx);
                ::linden::Handled::done()
            }
        }
    }

    async fn handle_timeout(&mut self, _cx: &mut ::linden::Context<Self>) {
        Self::idle(self);
    }

    fn format_state(&self) -> ::std::option::Option<::std::string::String> {
        #[allow(unused_imports)]
        use ::linden::__private::debug::{ShowDebug as _, ShowNothing as _};
        (&::linden::__private::debug::State(self)).linden_show()
    }
}

/// The client of `Billing`: a method for each call and cast.
pub struct BillingClient<Server: ::linden::GenServer = Billing>(::linden::ServerRef<Server>);

#[allow(dead_code, missing_docs, rustdoc::broken_intra_doc_links)]
impl BillingClient {
    /// Takes `amount` from the account.
    pub fn pay(
        &self,
        user_id: UserId,
        amount: Cents,
    ) -> ::linden::Call<'_, Result<Cents, Empty>> {
        self.0.call(move |reply| BillingMsg::Pay { user_id, amount, reply })
    }

    pub fn balance(&self, user_id: UserId) -> ::linden::Call<'_, Cents> {
        self.0.call(move |reply| BillingMsg::Balance { user_id, reply })
    }

    pub fn next_note(&self) -> ::linden::Call<'_, String> {
        self.0.call(move |reply| BillingMsg::NextNote { reply })
    }

    pub fn note(&self, line: String) {
        self.0.cast(BillingMsg::Note { line });
    }
}

impl ::std::convert::From<::linden::ServerRef<Billing>> for BillingClient {
    fn from(server: ::linden::ServerRef<Billing>) -> Self {
        Self(server)
    }
}

impl ::std::ops::Deref for BillingClient {
    type Target = ::linden::ServerRef<Billing>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl ::std::clone::Clone for BillingClient {
    fn clone(&self) -> Self {
        Self(::std::clone::Clone::clone(&self.0))
    }
}

impl ::std::fmt::Debug for BillingClient {
    fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        formatter.debug_tuple("BillingClient").field(&self.0).finish()
    }
}

#[allow(dead_code)]
impl Billing {
    /// The server that is registered as `billing_service` on the current node.
    pub fn named() -> BillingClient {
        ::std::convert::From::from(::linden::__private::named::<Self>())
    }

    /// The server that is registered as `billing_service` on this node.
    pub fn named_on(node: &::linden::Node) -> BillingClient {
        ::std::convert::From::from(::linden::__private::named_on::<Self>(node))
    }
}
