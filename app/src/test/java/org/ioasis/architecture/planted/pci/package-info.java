/** Planted classes that break a rule of the house, see ArchitectureTest. */
@NullMarked
package org.ioasis.architecture.planted.pci;

import org.jspecify.annotations.NullMarked;
