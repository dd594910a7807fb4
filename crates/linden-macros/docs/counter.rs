#[gen_server(remote)]
impl Counter {
    #[call]
    fn add(&mut self, step: u64) -> u64 {
        self.0 += step;
        self.0
    }

    #[cast]
    fn reset(&mut self) {
        self.0 = 0;
    }
}
