"""The commands, one module each: ``add_arguments(parser)`` defines its options and ``run(args)`` does its work.

train            trains a network on a data set and writes a run folder
evaluate         a trained network's loss and accuracy, and the accuracy of each class
predict          a trained network's predictions for pictures of your own
explain          a page that shows how a network computed every number for an image
diagnose         why a run does not learn, or overfits
export           a trained network as an ONNX file
data             where the data sets are stored
demo             a digit, drawn in the browser, and what a network computes from it
gradcheck        every gradient against finite differences; gallery/ has the bugs that it detects
exercise         exercises: write a layer's function yourself
reproduce        the study's experiments and their report
bench            the speed of this machine and of other frameworks
doctor           the installation, with hints

arguments.py     types and texts that several commands' options share
inputs.py        from a data set to a network's input
pictures.py      from a picture to a network's input; ink.py finds the ink in it
run_folder.py    the files of a training run
recipes.py       how net_3 is trained
processes.py     a command that mpiexec has started in several processes
versions.py      the package versions that a run records
"""
