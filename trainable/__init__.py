"""One fine-tuning trial of a ResNet: data, views, backbone, training, metrics.

Everything here is plain PyTorch and knows no search; only
:mod:`trainable.ray_trainable` imports Ray. Importing the package itself is
cheap: PyTorch loads with the module that needs it.
"""
