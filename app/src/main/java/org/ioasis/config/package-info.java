// SPDX-License-Identifier: Apache-2.0
/**
 * What to serve, from a file or from the command line, checked as a whole before anything starts.
 */
@NullMarked
package org.ioasis.config;

import org.jspecify.annotations.NullMarked;
