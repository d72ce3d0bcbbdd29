from keras_superweights.members.allocating import allocate
from keras_superweights.members.allocating import describe
from keras_superweights.members.skeleton import skeletons
