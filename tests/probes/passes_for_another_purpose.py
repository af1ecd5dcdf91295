"""A model that is trained is also run for another purpose: for a jacobian, for a graph, without values."""

import copy
import io

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from tests.probes.unusual_loops import manual
from tests.trainings import FEATURES


def with_another_pass(run):
    """The model is also run for another purpose, between the forward pass and backward() and between the steps; `run` returns a tensor."""

    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        inside = run(c, x, y)
        loss.backward()
        c.optimizer.step()
        return loss + inside.detach().sum() + run(c, x, y).detach().sum()

    return manual(step)


def jacobian(c, x, y):
    return torch.func.jacrev(c.model)(x[0])


def directional_derivative(c, x, y):
    return torch.func.jvp(c.model, (x,), (torch.ones_like(x),))[1]


def forward_mode(c, x, y):
    with torch.autograd.forward_ad.dual_level():
        return torch.autograd.forward_ad.unpack_dual(c.model(torch.autograd.forward_ad.make_dual(x, x))).tangent


def one_by_one(c, x, y):
    return torch.func.vmap(c.model)(x)


def gradients_of_items(c, x, y):
    def loss(parameters, x, y):
        return c.loss_fn(torch.func.functional_call(c.model, parameters, (x[None],)), y[None])

    parameters = {name: parameter.detach() for name, parameter in c.model.named_parameters()}
    return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)["0.weight"]


def vectorized_jacobian(c, x, y):
    return torch.autograd.functional.jacobian(c.model, x[:2], vectorize=True)


def without_values(c, x, y):
    with FakeTensorMode(allow_non_fake_inputs=True):
        shape = c.model(torch.zeros(4, FEATURES)).shape
    return torch.tensor(shape)


def traced(c, x, y, *, check_trace=True):
    graph = torch.jit.trace(c.model, x, check_trace=check_trace).inlined_graph
    return torch.tensor(len(list(graph.nodes())))


def traced_unchecked(c, x, y):
    """torch's check of it runs the model as usual."""
    return traced(c, x, y, check_trace=False)


def scripted(c, x, y):
    model, loss_fn = torch.jit.script(c.model), torch.jit.script(c.loss_fn)
    return loss_fn(model(x), y).detach() + len(list(model.inlined_graph.nodes()))


def scripted_and_read_again(c, x, y):
    file = io.BytesIO()
    torch.jit.save(torch.jit.freeze(torch.jit.script(copy.deepcopy(c.model).eval())), file)
    file.seek(0)
    return torch.jit.load(file)(x)


def made_a_graph(c, x, y):
    return torch.tensor(len(make_fx(c.model)(x).graph.nodes))


def exported(c, x, y):
    return torch.tensor(len(torch.export.export(c.model, (x,)).graph.nodes))
