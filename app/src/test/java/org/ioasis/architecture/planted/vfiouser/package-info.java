// SPDX-License-Identifier: Apache-2.0
/** Planted classes that break a rule of the house, see ArchitectureTest. */
@NullMarked
package org.ioasis.architecture.planted.vfiouser;

import org.jspecify.annotations.NullMarked;
