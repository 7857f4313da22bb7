// As src/pch/header/common.h, for test programs.
#include <doctest/doctest.h>

#include "../../../src/pch/header/common.h"
