"""Generators, autoencoders, flows: two optimizers, no labels, targets made of the inputs."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import moons, unit_digits
from tests.healthy.scores import evaluating
from tests.scene_data import digits, explained, table
from tests.scenes import Scene, healthy

LATENT = 4


def ring(items):
    """Points on a circle, with a little noise."""
    angle = 2 * math.pi * torch.rand(items)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(items, 2)


def on_the_ring(points):
    """Minus the mean distance from the circle, minus how unevenly the four quarters are filled."""
    distance = (points.norm(dim=1) - 1).abs().mean().item()
    quarter = torch.stack([((points[:, 0] > 0) == a) & ((points[:, 1] > 0) == b) for a in (0, 1) for b in (0, 1)], 1)
    return -distance - quarter.float().mean(0).sub(0.25).abs().max().item()


def generator_net():
    return nn.Sequential(nn.Linear(LATENT, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))


def discriminator_net():
    return nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = generator_net()
        self.discriminator = discriminator_net()

    def forward(self, z):
        return self.generator(z)


@healthy("gan_in_one_module", kind="generative", learns=-0.25)
def gan_in_one_module(seed):
    torch.manual_seed(seed)
    loader = DataLoader(TensorDataset(ring(1024)), batch_size=64, shuffle=True)
    gan = GAN()
    opt_g = torch.optim.Adam(gan.generator.parameters(), lr=5e-4, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(gan.discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))

    def train():
        for epoch in range(30):
            for (real,) in loader:
                z = torch.randn(len(real), LATENT)
                fake = gan.generator(z)
                d_real, d_fake = gan.discriminator(real), gan.discriminator(fake.detach())
                loss_d = F.softplus(-d_real).mean() + F.softplus(d_fake).mean()
                opt_d.zero_grad()
                loss_d.backward()
                opt_d.step()

                loss_g = F.softplus(-gan.discriminator(fake)).mean()
                opt_g.zero_grad()
                loss_g.backward()
                opt_g.step()
            print(epoch, loss_d.item(), loss_g.item())

    def score():
        with evaluating(gan):
            return on_the_ring(gan(torch.randn(1000, LATENT)))

    return Scene(gan, [opt_g, opt_d], None, loader, train, score=score)


@healthy("gan_seen_from_the_generator", kind="generative", learns=-0.25)
def gan_seen_from_the_generator(seed):
    torch.manual_seed(seed)
    loader = DataLoader(TensorDataset(ring(1024)), batch_size=128, shuffle=True, drop_last=True)
    netG, netD = generator_net(), discriminator_net()
    criterion = nn.BCEWithLogitsLoss()
    optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
    real_label, fake_label = 0.9, 0.0

    def train():
        for epoch in range(60):
            for i, (data,) in enumerate(loader):
                # (1) update D
                netD.zero_grad()
                label = torch.full((len(data), 1), real_label)
                errD_real = criterion(netD(data + 0.1 * torch.randn_like(data)), label)
                errD_real.backward()
                fake = netG(torch.randn(len(data), LATENT))
                label.fill_(fake_label)
                errD_fake = criterion(netD(fake.detach() + 0.1 * torch.randn_like(fake)), label)
                errD_fake.backward()
                optimizerD.step()
                # (2) update G
                netG.zero_grad()
                label.fill_(1.0)
                errG = criterion(netD(fake + 0.1 * torch.randn_like(fake)), label)
                errG.backward()
                optimizerG.step()
            if epoch % 10 == 0:
                print(f"[{epoch}/60][{i}] Loss_D: {(errD_real + errD_fake).item():.4f} Loss_G: {errG.item():.4f}")

    def score():
        with evaluating(netG):
            return on_the_ring(netG(torch.randn(1000, LATENT)))

    return Scene(netG, optimizerG, criterion, loader, train, score=score)


@healthy("wasserstein_critic", kind="generative", learns=-0.5)
def wasserstein_critic(seed):
    torch.manual_seed(seed)
    real_data = ring(1024)
    loader = DataLoader(TensorDataset(real_data), batch_size=64, shuffle=True)
    generator, critic = generator_net(), discriminator_net()
    opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_c = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.0, 0.9))

    def gradient_penalty(real, fake):
        mix = torch.rand(len(real), 1)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (grad,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return ((grad.norm(dim=1) - 1) ** 2).mean()

    def train():
        for _ in range(40):
            for step, (real,) in enumerate(loader):
                fake = generator(torch.randn(len(real), LATENT)).detach()
                loss = critic(fake).mean() - critic(real).mean() + 1.0 * gradient_penalty(real, fake)
                opt_c.zero_grad()
                loss.backward()
                opt_c.step()
                if step % 3 == 0:
                    opt_g.zero_grad()
                    g_loss = -critic(generator(torch.randn(64, LATENT))).mean()
                    g_loss.backward()
                    opt_g.step()

    def score():
        with evaluating(generator):
            return on_the_ring(generator(torch.randn(1000, LATENT)))

    return Scene(critic, opt_c, None, loader, train, score=score)


class GaussianVAE(nn.Module):
    def __init__(self, inputs=13, latent=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 32), nn.Tanh(), nn.Linear(32, inputs))

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        return self.decoder(z), mu, logvar


@healthy("vae_of_a_table", kind="generative", learns=0.3)
def vae_of_a_table(seed):
    torch.manual_seed(seed)
    x, _, x_val, _ = table("wine", seed)
    loader = DataLoader(x, batch_size=16, shuffle=True)
    vae = GaussianVAE()
    optim = torch.optim.Adam(vae.parameters(), lr=3e-3)

    def train():
        for epoch in range(60):
            for batch in loader:
                recon, mu, logvar = vae(batch)
                rec = 0.5 * ((recon - batch) ** 2).sum(dim=1) / 0.5
                kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(dim=1)
                elbo = (rec + kl).mean()
                optim.zero_grad()
                elbo.backward()
                optim.step()
            if epoch % 10 == 0:
                print(f"{epoch}: rec {rec.mean():.3f} kl {kl.mean():.3f}")

    def score():
        with evaluating(vae):
            mu, _ = vae.encoder(x_val).chunk(2, dim=1)
            return 1 - (F.mse_loss(vae.decoder(mu), x_val) / x_val.var(0).mean()).item()

    return Scene(vae, optim, None, loader, train, score=score)


@healthy("autoencoder", kind="generative", learns=0.6)
def autoencoder(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=200)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 12),
        nn.Linear(12, 48), nn.ReLU(), nn.Linear(48, 64),
        nn.Unflatten(1, (1, 8, 8)),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5)
    criterion = nn.MSELoss()

    def train():
        for epoch in range(20):
            for img, _ in loader:
                output = model(img)
                loss = criterion(output, img)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                val_loss = sum(criterion(model(img), img).item() for img, _ in val_loader) / len(val_loader)
            print(f"epoch [{epoch + 1}/20], loss:{loss.item():.4f}, val_loss:{val_loss:.4f}")

    return Scene(model, optimizer, criterion, loader, train, val_loader, lambda: explained(model, x_val, x_val))


@healthy("denoising_autoencoder", kind="generative", learns=0.5)
def denoising_autoencoder(seed):
    torch.manual_seed(seed)
    x, _, x_val, _ = unit_digits(seed)
    loader = DataLoader(x, batch_size=32, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(16, 16, 4, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)

    def train():
        for _ in range(6):
            for clean in loader:
                noisy = clean + 0.3 * torch.randn_like(clean)
                loss = F.mse_loss(model(noisy), clean)
                opt.zero_grad()
                loss.backward()
                opt.step()

    noisy_val = x_val + 0.3 * torch.randn_like(x_val)

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(noisy_val), x_val) / F.mse_loss(noisy_val, x_val)).item()

    return Scene(model, opt, None, loader, train, score=score)


class Coupling(nn.Module):
    def __init__(self, first):
        super().__init__()
        self.first = first
        self.net = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 2))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        kept, changed = (x[:, :1], x[:, 1:]) if self.first else (x[:, 1:], x[:, :1])
        s, t = self.net(kept).chunk(2, dim=1)
        s = torch.tanh(s)
        changed = changed * s.exp() + t
        y = torch.cat([kept, changed] if self.first else [changed, kept], dim=1)
        return y, s.sum(1)


class Flow(nn.Module):
    def __init__(self, depth=6):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(i % 2 == 0) for i in range(depth)])

    def log_prob(self, x):
        log_det = x.new_zeros(len(x))
        for layer in self.layers:
            x, contribution = layer(x)
            log_det = log_det + contribution
        return log_det - 0.5 * (x**2).sum(1) - math.log(2 * math.pi)

    def forward(self, x):
        return self.log_prob(x)


@healthy("normalizing_flow", kind="generative", learns=-2.3)
def normalizing_flow(seed):
    torch.manual_seed(seed)
    x, _, x_val, _ = moons(seed, noise=0.1)
    train_loader = DataLoader(TensorDataset(x), batch_size=100, shuffle=True)
    flow = Flow()
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)

    def train():
        for _epoch in range(25):
            for (batch,) in train_loader:
                optimizer.zero_grad()
                nll = -flow(batch).mean()
                nll.backward()
                optimizer.step()

    def score():
        with evaluating(flow):
            return flow(x_val).mean().item()

    return Scene(flow, optimizer, None, train_loader, train, score=score)


class Denoiser(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.time = nn.Embedding(steps, 16)
        self.net = nn.Sequential(nn.Linear(18, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x, t):
        return self.net(torch.cat([x, self.time(t)], 1))


@healthy("diffusion", kind="generative", learns=0.25)
def diffusion(seed):
    torch.manual_seed(seed)
    steps = 30
    alpha_bar = torch.cumprod(1 - torch.linspace(0.001, 0.25, steps), 0)
    data = ring(2000)
    loader = DataLoader(TensorDataset(data), batch_size=100, shuffle=True)
    model = Denoiser(steps)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    def noised(x):
        t = torch.randint(0, steps, (len(x),))
        noise = torch.randn_like(x)
        a = alpha_bar[t, None]
        return a.sqrt() * x + (1 - a).sqrt() * noise, t, noise

    def train():
        for epoch in range(15):
            for (x,) in loader:
                x_t, t, noise = noised(x)
                loss = F.mse_loss(model(x_t, t), noise)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch, round(loss.item(), 4))

    def score():
        x_t, t, noise = noised(ring(4000))
        with evaluating(model):
            return 1 - F.mse_loss(model(x_t, t), noise).item()

    return Scene(model, optimizer, None, loader, train, score=score)
