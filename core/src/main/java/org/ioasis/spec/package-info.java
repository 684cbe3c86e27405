/** Numbers and layouts of the specifications, one class per chapter, under the specs' own names. */
@NullMarked
package org.ioasis.spec;

import org.jspecify.annotations.NullMarked;
