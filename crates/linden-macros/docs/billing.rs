#[gen_server(name = "billing_service")]
impl Billing {
    /// Takes `amount` from the account.
    #[call]
    pub async fn pay(&mut self, user_id: UserId, amount: Cents) -> Result<Cents, Empty> {
        let balance = self.ledger.entry(user_id).or_default();
        *balance = balance.checked_sub(amount).ok_or(Empty)?;
        Ok(*balance)
    }

    #[call]
    pub fn balance(&self, user_id: UserId) -> Cents {
        self.ledger.get(&user_id).copied().unwrap_or_default()
    }

    #[call]
    pub fn next_note(&mut self, reply: Reply<String>) {
        self.waiting.push(reply);
    }

    #[cast]
    pub fn note(&mut self, line: String, cx: &mut Context<Self>) {
        for reply in self.waiting.drain(..) {
            reply.send(line.clone());
        }
        cx.set_timeout(Duration::from_secs(60));
    }

    #[timeout]
    fn idle(&mut self) {
        self.waiting.clear();
    }
}
